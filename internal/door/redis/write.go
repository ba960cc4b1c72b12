package redis

import (
	"bytes"
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func writeCommands() []command {
	const g = "string"
	return []command{
		{name: "set", arity: -3, flags: write | denyOOM, keys: oneKey, value: 2, run: set, group: g, since: "1.0.0",
			summary: "Sets the value of a key, replacing any other. The key is made if it is not there."},
		{name: "setnx", arity: 3, flags: write | denyOOM | fast, keys: oneKey, value: 2, run: setNX, group: g, since: "1.0.0",
			summary: "Sets the value of a key only if the key is not there."},
		{name: "setex", arity: 4, flags: write | denyOOM, keys: oneKey, value: 3, run: setEx, group: g, since: "2.0.0",
			summary: "Sets the value of a key and its expiry in seconds."},
		{name: "psetex", arity: 4, flags: write | denyOOM, keys: oneKey, value: 3, run: setEx, group: g, since: "2.6.0",
			summary: "Sets the value of a key and its expiry in milliseconds."},
		{name: "getset", arity: 3, flags: write | denyOOM | fast, keys: oneKey, value: 2, run: getSet, group: g, since: "1.0.0",
			summary: "Sets the value of a key and returns the one before."},
		{name: "mset", arity: -3, flags: write | denyOOM, keys: everyOther, value: 1, run: mset, group: g, since: "1.0.1",
			summary: "Sets the values of one or more keys, one by one."},
	}
}

// put streams the value whose header was just read into the cache.
func (c *conn) put(ctx context.Context, key []byte, size int64, opts object.PutOptions) (object.PutResult, error) {
	return c.door.cfg.Cache.Put(ctx, string(key), size, c.dec, opts)
}

// heldValue is how long a value may be to be held until the options behind it
// are known, so that one they keep out (SET k v NX) costs the cache nothing.
const heldValue = 1 << 20

func set(ctx context.Context, c *conn, args [][]byte) error {
	size, err := c.nextValue()
	switch {
	case err != nil:
		return err
	case c.dec.Args() == 0:
		res, err := c.put(ctx, args[1], size, object.PutOptions{})
		return c.replySet(ctx, res, false, err)
	case size <= heldValue:
		return c.setKnowing(ctx, args[1])
	default:
		return c.setLate(ctx, args[1], size)
	}
}

// setKnowing holds the value until its options are read.
func (c *conn) setKnowing(ctx context.Context, key []byte) error {
	c.in.extra = c.dec.Left()
	if err := c.readBody(); err != nil {
		return err
	}
	if err := c.readArgs(0, nil); err != nil {
		return err
	}
	value := c.in.args[2]
	opts, err := parseSetOptions("set", c.in.args[3:], time.Now())
	if err != nil {
		return err
	}
	res, err := c.door.cfg.Cache.Put(ctx, string(key), int64(len(value)), bytes.NewReader(value), opts.put())
	return c.replySet(ctx, res, opts.get, err)
}

func (o setOptions) put() object.PutOptions {
	return object.PutOptions{
		Expires:      o.expires,
		KeepExpiry:   o.keepTTL,
		Condition:    o.condition,
		WantReplaced: o.get,
	}
}

// replySet replies what a Put did: with get the value before, or else whether
// the new one was stored.
func (c *conn) replySet(ctx context.Context, res object.PutResult, get bool, err error) error {
	switch {
	case err != nil:
		return err
	case get:
		return c.sendObject(ctx, res.Replaced)
	case res.Replaced != nil:
		res.Replaced.Close()
	}
	if !res.Stored {
		c.replyNull()
		return nil
	}
	c.replyOK()
	return nil
}

func setNX(ctx context.Context, c *conn, args [][]byte) error {
	size, err := c.nextValue()
	if err != nil {
		return err
	}
	res, err := c.put(ctx, args[1], size, object.PutOptions{Condition: object.IfAbsent})
	if err != nil {
		return err
	}
	c.replyBool(res.Stored)
	return nil
}

// setEx is SETEX and PSETEX.
func setEx(ctx context.Context, c *conn, args [][]byte) error {
	name := "setex"
	if is(args[0], "psetex") {
		name = "psetex"
	}
	n, err := number(args[2])
	if err != nil {
		return err
	}
	at, ok := instant(n, name == "setex", true, time.Now())
	if !ok || n <= 0 {
		return invalidExpire(name)
	}
	size, err := c.nextValue()
	if err != nil {
		return err
	}
	res, err := c.put(ctx, args[1], size, object.PutOptions{Expires: at})
	return c.replySet(ctx, res, false, err)
}

func getSet(ctx context.Context, c *conn, args [][]byte) error {
	size, err := c.nextValue()
	if err != nil {
		return err
	}
	res, err := c.put(ctx, args[1], size, object.PutOptions{WantReplaced: true})
	return c.replySet(ctx, res, true, err)
}

// mset stores each value as it arrives; those before one that fails stay.
func mset(ctx context.Context, c *conn, _ [][]byte) error {
	if c.dec.Args()%2 != 0 {
		return wrongArity("mset")
	}
	for c.dec.Args() > 0 {
		if err := c.readArg(wire.MaxKey); err != nil {
			return err
		}
		size, err := c.nextValue()
		if err != nil {
			return err
		}
		if _, err := c.put(ctx, c.in.args[1], size, object.PutOptions{}); err != nil {
			return err
		}
		if err := c.dec.Discard(); err != nil {
			return err
		}
		c.in.forget(c.door)
	}
	c.replyOK()
	return nil
}
