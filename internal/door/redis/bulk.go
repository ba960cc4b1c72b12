package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/resp"
)

// bulk sends a range of an object as one bulk string. Its header goes out with
// the first bytes, so that until then another reply is possible.
type bulk struct {
	c    *conn
	size int64 // declared
	sent int64
}

var errOverlong = errors.New("reader wrote more than it was asked for")

// Write sends p, which it does not keep.
func (b *bulk) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > b.size-b.sent {
		return 0, errOverlong
	}
	if b.sent == 0 {
		b.c.replyBulkHeader(b.size)
	}
	n, err := b.c.sock.Write(p)
	b.sent += int64(n)
	return n, err
}

// sendRange replies n bytes of r from off. It may return an error, in whose
// place another reply is to be sent, only as long as nothing was sent; after
// that it breaks the connection.
func (c *conn) sendRange(ctx context.Context, r object.Reader, off, n int64) error {
	if n == 0 {
		c.replyBulk("")
		return nil
	}
	c.bulk = bulk{c: c, size: n}
	_, err := r.WriteRange(ctx, &c.bulk, off, n)
	switch {
	case c.sock.werr != nil:
		return c.sock.werr
	case err == nil && c.bulk.sent == n:
		c.sock.reply(func(dst []byte) []byte { return append(dst, '\r', '\n') })
		return nil
	case err == nil:
		err = fmt.Errorf("reader wrote %d of %d bytes", c.bulk.sent, n)
	}
	if c.bulk.sent > 0 {
		c.breakOff(fmt.Errorf("object cut short: %w", err))
	}
	return err
}

// sendObject replies the whole object, or null if it turns out to be lost, and
// closes r. A nil r is a miss.
func (c *conn) sendObject(ctx context.Context, r object.Reader) error {
	if r == nil {
		c.replyNull()
		return nil
	}
	defer r.Close()
	err := c.sendRange(ctx, r, 0, r.Info().Size)
	if isMiss(err) && c.broken == nil {
		c.replyNull()
		return nil
	}
	return err
}

// The replies of the connection's version of the protocol.

func (c *conn) replyOK() { c.replySimple("OK") }

func (c *conn) replySimple(s string) {
	c.sock.reply(func(dst []byte) []byte { return resp.AppendSimple(dst, s) })
}

func (c *conn) replyInt(n int64) {
	c.sock.reply(func(dst []byte) []byte { return resp.AppendInt(dst, n) })
}

func (c *conn) replyBool(b bool) {
	if b {
		c.replyInt(1)
	} else {
		c.replyInt(0)
	}
}

func (c *conn) replyBulk(s string) {
	c.sock.reply(func(dst []byte) []byte { return resp.AppendBulk(dst, s) })
}

func (c *conn) replyBulkHeader(n int64) {
	c.sock.reply(func(dst []byte) []byte { return resp.AppendBulkHeader(dst, n) })
}

func (c *conn) replyArray(n int) {
	c.sock.reply(func(dst []byte) []byte { return resp.AppendArray(dst, n) })
}

func (c *conn) replyMap(n int) {
	c.sock.reply(func(dst []byte) []byte { return c.version.AppendMap(dst, n) })
}

func (c *conn) replyNull() { c.sock.reply(c.version.AppendNull) }

func (c *conn) replyText(s string) {
	c.sock.reply(func(dst []byte) []byte { return c.version.AppendText(dst, s) })
}
