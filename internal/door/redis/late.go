package redis

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

// setLate streams a value too long to be held. The options behind it are read
// when the cache has taken the value in and is about to commit it.
func (c *conn) setLate(ctx context.Context, key []byte, size int64) error {
	var opts setOptions
	res, err := c.put(ctx, key, size, object.PutOptions{Finish: func(o *object.PutOptions) error {
		if err := c.readArgs(0, nil); err != nil {
			return err
		}
		var err error
		if opts, err = parseSetOptions("set", c.in.args[2:], time.Now()); err != nil {
			return err
		}
		*o = opts.put()
		return nil
	}})
	return c.replySet(ctx, res, opts.get, err)
}
