package redis

import (
	"context"
	"errors"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// lateOptions reads a value too long to be held, and then the options behind it.
// It hands the last bytes out only when the options are read and allow the
// value to be stored: a body with an error is never committed.
type lateOptions struct {
	c     *conn
	judge func() error // called once, before the last bytes are handed out

	opts    setOptions
	kept    time.Time // the expiry to keep, if opts say so
	refused error     // by judge
}

func (l *lateOptions) Read(p []byte) (int, error) {
	n, err := l.c.dec.Read(p)
	if err != nil || l.c.dec.Left() > 0 {
		return n, err
	}
	if l.refused == nil {
		l.refused = l.judge()
	}
	if l.refused != nil {
		return 0, l.refused
	}
	return n, nil
}

// read reads the options and looks whether key meets their condition.
func (l *lateOptions) read(ctx context.Context, key []byte) error {
	if err := l.c.readArgs(0, nil); err != nil {
		return err
	}
	var err error
	if l.opts, err = parseSetOptions("set", l.c.in.args[2:], time.Now()); err != nil {
		return err
	}
	if l.opts.condition == object.Always && !l.opts.keepTTL {
		return nil
	}
	info, found, err := l.c.stat(ctx, key)
	if err != nil {
		return err
	}
	l.kept = info.Expires
	if l.opts.condition == object.IfAbsent && found ||
		l.opts.condition == object.IfPresent && !found {
		return wire.ErrCondition
	}
	return nil
}

// setLate stores a value before its options are known, and then does what they
// say.
func (c *conn) setLate(ctx context.Context, key []byte, size int64) error {
	cache := c.door.cfg.Cache
	l := &lateOptions{c: c}
	l.judge = func() error { return l.read(ctx, key) }
	res, err := cache.Put(ctx, string(key), size, l, object.PutOptions{WantReplaced: true})
	switch {
	case errors.Is(l.refused, wire.ErrCondition):
		if !l.opts.get {
			return orNull(c, nil)
		}
		old, err := c.open(ctx, key)
		if err != nil {
			return err
		}
		return c.sendObject(ctx, old)
	case l.refused != nil:
		return l.refused
	case err != nil:
		return err
	}
	expires := l.opts.expires
	if l.opts.keepTTL {
		expires = l.kept
	}
	if !expires.IsZero() {
		if _, err := c.setExpiry(ctx, key, expires); err != nil {
			// Rather no object than one that outlives its expiry.
			cache.Delete(ctx, string(key), false)
			if res.Replaced != nil {
				res.Replaced.Close()
			}
			return err
		}
	}
	return c.replySet(ctx, res, l.opts.get, nil)
}
