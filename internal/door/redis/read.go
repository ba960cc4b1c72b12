package redis

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

func readCommands() []command {
	const g = "string"
	return []command{
		{name: "get", arity: 2, flags: readonly | fast, keys: oneKey, run: get, group: g, since: "1.0.0",
			summary: "Returns the value of a key."},
		{name: "mget", arity: -2, flags: readonly | fast, keys: allKeys, run: mget, group: g, since: "1.0.0",
			summary: "Returns the values of one or more keys."},
		{name: "getrange", arity: 4, flags: readonly, keys: oneKey, run: getRange, group: g, since: "2.4.0",
			summary: "Returns a part of the value of a key."},
		{name: "substr", arity: 4, flags: readonly, keys: oneKey, run: getRange, group: g, since: "1.0.0",
			summary: "Returns a part of the value of a key."},
		{name: "strlen", arity: 2, flags: readonly | fast, keys: oneKey, run: strlen, group: g, since: "2.2.0",
			summary: "Returns the length of the value of a key."},
		{name: "getdel", arity: 2, flags: write | fast, keys: oneKey, run: getDel, group: g, since: "6.2.0",
			summary: "Returns the value of a key and deletes the key."},
		{name: "getex", arity: -2, flags: write | fast, keys: oneKey, run: getEx, group: g, since: "6.2.0",
			summary: "Returns the value of a key and changes its expiry."},
	}
}

// open pins the object under key; nil, nil is a miss.
func (c *conn) open(ctx context.Context, key []byte) (object.Reader, error) {
	r, err := c.door.cfg.Cache.Open(ctx, string(key))
	if err == nil {
		c.door.metrics.hits.add(1)
		return r, nil
	}
	if isMiss(err) {
		c.door.metrics.misses.add(1)
		return nil, nil
	}
	return nil, err
}

// stat describes the object under key; false is a miss.
func (c *conn) stat(ctx context.Context, key []byte) (object.Info, bool, error) {
	info, err := c.door.cfg.Cache.Stat(ctx, string(key))
	if isMiss(err) {
		return object.Info{}, false, nil
	}
	return info, err == nil, err
}

func get(ctx context.Context, c *conn, args [][]byte) error {
	r, err := c.open(ctx, args[1])
	if err != nil {
		return err
	}
	return c.sendObject(ctx, r)
}

// mget sends each value before it opens the next, so that one object at a time
// is pinned. A key that cannot be read for another reason than a miss has an
// error in its place.
func mget(ctx context.Context, c *conn, args [][]byte) error {
	c.replyArray(len(args) - 1)
	for _, key := range args[1:] {
		err := get(ctx, c, [][]byte{nil, key})
		switch {
		case c.broken != nil || c.sock.werr != nil:
			return err
		case err != nil:
			c.replyError(refusalFor(err))
		}
	}
	return nil
}

func getRange(ctx context.Context, c *conn, args [][]byte) error {
	first, err := number(args[2])
	if err != nil {
		return err
	}
	last, err := number(args[3])
	if err != nil {
		return err
	}
	r, err := c.open(ctx, args[1])
	if err != nil {
		return err
	}
	if r == nil {
		c.replyBulk("")
		return nil
	}
	defer r.Close()
	off, n := span(first, last, r.Info().Size)
	err = c.sendRange(ctx, r, off, n)
	if isMiss(err) && c.broken == nil {
		c.replyBulk("")
		return nil
	}
	return err
}

// span turns GETRANGE's first and last index, both inclusive and from the end
// if negative, into a range of an object of size bytes.
func span(first, last, size int64) (off, n int64) {
	if first < 0 && last < 0 && first > last {
		return 0, 0
	}
	if first < 0 {
		first = max(first+size, 0)
	}
	if last < 0 {
		last = max(last+size, 0)
	}
	last = min(last, size-1)
	if first > last {
		return 0, 0
	}
	return first, last - first + 1
}

func strlen(ctx context.Context, c *conn, args [][]byte) error {
	info, _, err := c.stat(ctx, args[1])
	if err != nil {
		return err
	}
	c.replyInt(info.Size)
	return nil
}

func getDel(ctx context.Context, c *conn, args [][]byte) error {
	_, old, err := c.door.cfg.Cache.Delete(ctx, string(args[1]), true)
	if err != nil && !isMiss(err) {
		return err
	}
	return c.sendObject(ctx, old)
}

// getEx changes the expiry of the version that it sends: if another took its
// place in between, it begins again with that.
func getEx(ctx context.Context, c *conn, args [][]byte) error {
	opts, err := parseSetOptions("getex", args[2:], time.Now())
	if err != nil {
		return err
	}
	for {
		r, err := c.open(ctx, args[1])
		if err != nil {
			return err
		}
		if r == nil || !opts.persist && opts.expires.IsZero() {
			return c.sendObject(ctx, r)
		}
		version := r.Info().Version
		changed, err := c.setExpiry(ctx, args[1], opts.expires, func(now object.Info) bool {
			return now.Version == version
		})
		if changed {
			return c.sendObject(ctx, r)
		}
		r.Close()
		if err != nil {
			return err
		}
	}
}
