package redis

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

func expiryCommands() []command {
	const g = "generic"
	return []command{
		{name: "expire", arity: -3, flags: write | fast, keys: oneKey, run: expireAs("expire", true, true), group: g, since: "1.0.0",
			summary: "Sets the expiry of a key in seconds."},
		{name: "pexpire", arity: -3, flags: write | fast, keys: oneKey, run: expireAs("pexpire", false, true), group: g, since: "2.6.0",
			summary: "Sets the expiry of a key in milliseconds."},
		{name: "expireat", arity: -3, flags: write | fast, keys: oneKey, run: expireAs("expireat", true, false), group: g, since: "1.2.0",
			summary: "Sets the expiry of a key to a Unix time in seconds."},
		{name: "pexpireat", arity: -3, flags: write | fast, keys: oneKey, run: expireAs("pexpireat", false, false), group: g, since: "2.6.0",
			summary: "Sets the expiry of a key to a Unix time in milliseconds."},
		{name: "persist", arity: 2, flags: write | fast, keys: oneKey, run: persist, group: g, since: "2.2.0",
			summary: "Removes the expiry of a key."},
		{name: "ttl", arity: 2, flags: readonly | fast, keys: oneKey, run: ttlAs(time.Second, true), group: g, since: "1.0.0",
			summary: "Returns the seconds until a key expires."},
		{name: "pttl", arity: 2, flags: readonly | fast, keys: oneKey, run: ttlAs(time.Millisecond, true), group: g, since: "2.6.0",
			summary: "Returns the milliseconds until a key expires."},
		{name: "expiretime", arity: 2, flags: readonly | fast, keys: oneKey, run: ttlAs(time.Second, false), group: g, since: "7.0.0",
			summary: "Returns when a key expires as a Unix time in seconds."},
		{name: "pexpiretime", arity: 2, flags: readonly | fast, keys: oneKey, run: ttlAs(time.Millisecond, false), group: g, since: "7.0.0",
			summary: "Returns when a key expires as a Unix time in milliseconds."},
	}
}

// setExpiry changes the expiry of key to at if allow says so of what stands
// there: the zero time means never, and a past one deletes the key. It reports
// whether it did. allow must not use the cache or a Reader of it.
func (c *conn) setExpiry(ctx context.Context, key []byte, at time.Time, allow func(object.Info) bool) (bool, error) {
	_, changed, err := c.door.cfg.Cache.SetExpiry(ctx, string(key), func(info object.Info) (time.Time, bool) {
		return at, allow(info)
	})
	return changed, err
}

// expireAs makes EXPIRE and its kin: in seconds or milliseconds, relative to
// now or to 1970.
func expireAs(name string, seconds, relative bool) handler {
	return func(ctx context.Context, c *conn, args [][]byte) error {
		n, err := number(args[2])
		if err != nil {
			return err
		}
		cond, err := parseExpireConditions(args[3:])
		if err != nil {
			return err
		}
		at, ok := instant(n, seconds, relative, time.Now())
		if !ok {
			return invalidExpire(name)
		}
		changed, err := c.setExpiry(ctx, args[1], at, func(info object.Info) bool {
			return cond.allow(info.Expires, at)
		})
		if err != nil {
			return err
		}
		c.replyBool(changed)
		return nil
	}
}

// expireConditions are the options of EXPIRE.
type expireConditions struct{ nx, xx, gt, lt bool }

func parseExpireConditions(args [][]byte) (expireConditions, error) {
	var e expireConditions
	for _, a := range args {
		switch {
		case is(a, "nx"):
			e.nx = true
		case is(a, "xx"):
			e.xx = true
		case is(a, "gt"):
			e.gt = true
		case is(a, "lt"):
			e.lt = true
		default:
			return e, refusal("ERR Unsupported option " + string(a[:min(len(a), 128)]))
		}
	}
	switch {
	case e.nx && (e.xx || e.gt || e.lt):
		return e, errExpireNX
	case e.gt && e.lt:
		return e, errExpireGTLT
	}
	return e, nil
}

// allow tells whether an object that expires at old may get the expiry at. One
// that never expires counts as expiring infinitely late.
func (e expireConditions) allow(old, at time.Time) bool {
	switch {
	case e.nx && !old.IsZero(), e.xx && old.IsZero():
		return false
	case e.gt && (old.IsZero() || !at.After(old)):
		return false
	case e.lt && !old.IsZero() && !at.Before(old):
		return false
	}
	return true
}

func persist(ctx context.Context, c *conn, args [][]byte) error {
	changed, err := c.setExpiry(ctx, args[1], time.Time{}, func(info object.Info) bool {
		return !info.Expires.IsZero()
	})
	if err != nil {
		return err
	}
	c.replyBool(changed)
	return nil
}

// ttlAs makes TTL and its kin: in a unit, from now or from 1970. They reply -2
// for a key that is not there and -1 for one that never expires.
func ttlAs(unit time.Duration, relative bool) handler {
	return func(ctx context.Context, c *conn, args [][]byte) error {
		info, found, err := c.stat(ctx, args[1])
		switch {
		case err != nil:
			return err
		case !found:
			c.replyInt(-2)
			return nil
		case info.Expires.IsZero():
			c.replyInt(-1)
			return nil
		}
		ms := info.Expires.UnixMilli()
		if relative {
			ms = max(ms-time.Now().UnixMilli(), 0)
		}
		if unit == time.Second {
			ms = (ms + 500) / 1000
		}
		c.replyInt(ms)
		return nil
	}
}
