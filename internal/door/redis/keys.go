package redis

import (
	"context"
	"strconv"
)

func keyCommands() []command {
	const g = "generic"
	return []command{
		{name: "del", arity: -2, flags: write, keys: allKeys, run: del, group: g, since: "1.0.0",
			summary: "Deletes one or more keys."},
		{name: "unlink", arity: -2, flags: write | fast, keys: allKeys, run: del, group: g, since: "4.0.0",
			summary: "Deletes one or more keys; their memory is freed behind."},
		{name: "exists", arity: -2, flags: readonly | fast, keys: allKeys, run: exists, group: g, since: "1.0.0",
			summary: "Counts which of the keys are there."},
		{name: "type", arity: 2, flags: readonly | fast, keys: oneKey, run: typeOf, group: g, since: "1.0.0",
			summary: "Returns string for a key that is there, none for another."},
		{name: "scan", arity: -2, flags: readonly, run: scan, group: g, since: "2.8.0",
			summary: "Goes through the keys, some with each call."},
		{name: "dbsize", arity: 1, flags: readonly | fast, run: dbSize, group: "server", since: "1.0.0",
			summary: "Returns the number of keys."},
		{name: "flushdb", arity: -1, flags: write, run: flush, group: "server", since: "1.0.0",
			summary: "Removes all keys."},
		{name: "flushall", arity: -1, flags: write, run: flush, group: "server", since: "1.0.0",
			summary: "Removes all keys."},
	}
}

func del(ctx context.Context, c *conn, args [][]byte) error {
	deleted := int64(0)
	for _, key := range args[1:] {
		existed, _, err := c.door.cfg.Cache.Delete(ctx, string(key), false)
		if err != nil && !isMiss(err) {
			return err
		}
		if existed {
			deleted++
		}
	}
	c.replyInt(deleted)
	return nil
}

func exists(ctx context.Context, c *conn, args [][]byte) error {
	n := int64(0)
	for _, key := range args[1:] {
		_, found, err := c.stat(ctx, key)
		if err != nil {
			return err
		}
		if found {
			n++
		}
	}
	c.replyInt(n)
	return nil
}

func typeOf(ctx context.Context, c *conn, args [][]byte) error {
	_, found, err := c.stat(ctx, args[1])
	switch {
	case err != nil:
		return err
	case found:
		c.replySimple("string")
	default:
		c.replySimple("none")
	}
	return nil
}

// scanMost bounds COUNT, and so the keys held for one reply.
const scanMost = 1000

func scan(ctx context.Context, c *conn, args [][]byte) error {
	cursor, err := strconv.ParseUint(string(args[1]), 10, 64)
	if err != nil {
		return errCursor
	}
	count, pattern, strings := int64(10), []byte("*"), true
	for opts := args[2:]; len(opts) > 0; opts = opts[2:] {
		switch {
		case len(opts) == 1:
			return errSyntax
		case is(opts[0], "count"):
			if count, err = number(opts[1]); err != nil {
				return err
			}
			if count < 1 {
				return errSyntax
			}
		case is(opts[0], "match"):
			pattern = opts[1]
		case is(opts[0], "type"):
			strings = is(opts[1], "string")
		default:
			return errSyntax
		}
	}
	keys, next, err := c.door.cfg.Cache.Scan(ctx, cursor, int(min(count, scanMost)))
	if err != nil {
		return err
	}
	match := keys[:0]
	for _, key := range keys {
		if strings && globMatch(string(pattern), key, false) {
			match = append(match, key)
		}
	}
	c.replyArray(2)
	c.replyBulk(strconv.FormatUint(next, 10))
	c.replyArray(len(match))
	for _, key := range match {
		c.replyBulk(key)
	}
	return nil
}

func dbSize(ctx context.Context, c *conn, _ [][]byte) error {
	n, err := c.door.cfg.Cache.Len(ctx)
	if err != nil {
		return err
	}
	c.replyInt(n)
	return nil
}

// flush is FLUSHDB and FLUSHALL: there is one database. ASYNC and SYNC mean the
// same, as no memory is freed before the reply.
func flush(ctx context.Context, c *conn, args [][]byte) error {
	if len(args) > 2 || len(args) == 2 && !is(args[1], "async") && !is(args[1], "sync") {
		return errSyntax
	}
	if err := c.door.cfg.Cache.Flush(ctx); err != nil {
		return err
	}
	c.replyOK()
	return nil
}
