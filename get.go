package infinicache

import (
	"context"
	"fmt"
	"io"

	"github.com/infinicache/infinicache/internal/stripe"
)

// maxTrust is how much memory GetBytes takes on a proxy's word; the rest follows
// as bytes arrive.
const maxTrust = 1 << 30

// GetBytes returns the object's bytes, or those of a Range. The blocks are read
// from the network straight into the slice that it returns, unless they are encrypted.
func (c *Client) GetBytes(ctx context.Context, key string, opts ...GetOption) ([]byte, error) {
	var dst []byte
	_, err := c.read(ctx, key, opts, func(size int64, have []byte) ([]byte, error) {
		dst = make([]byte, min(size, max(maxTrust, 2*int64(len(have)))))
		copy(dst, have)
		return dst, nil
	})
	if err != nil {
		return nil, failed("get", key, err)
	}
	return dst, nil
}

// GetInto reads the object, or a Range of it, into dst, which is not copied to but
// read into from the network, or decrypted into, and returns how many bytes that
// were. dst must be
// large enough: otherwise nothing is read, and the error matches
// io.ErrShortBuffer. With any error, the contents of dst have no meaning. GetInto
// returns when nothing writes to dst any more, so that a cancelled one may need
// some seconds more.
func (c *Client) GetInto(ctx context.Context, key string, dst []byte, opts ...GetOption) (int, error) {
	n, err := c.read(ctx, key, opts, func(size int64, _ []byte) ([]byte, error) {
		if size > int64(len(dst)) {
			return nil, fmt.Errorf("%w: %d bytes for an object of %d", io.ErrShortBuffer, len(dst), size)
		}
		return dst[:size], nil
	})
	return n, failed("get", key, err)
}

// read reads an object into memory that room gives: room is called with the size
// of what is read and the part of it that is there already, which is the first
// bytes of what it returned before, and returns memory for more of it. Nothing is
// given to the caller before all is there, so that every loss is a miss, and a
// version that was replaced when a link broke is read from the start.
func (c *Client) read(ctx context.Context, key string, opts []GetOption, room func(size int64, have []byte) ([]byte, error)) (int, error) {
	options, err := c.getOptions(opts)
	if err != nil {
		return 0, err
	}
	ctx, cancel := c.scope(ctx)
	defer cancel(nil)
	f, err := c.fetch(ctx, key, options)
	if err != nil {
		return 0, err
	}
	n := 0
	err = f.run(ctx, func(r *stripe.Reader, conn *connection) (int64, error) {
		defer guard(ctx, conn)()
		lo, hi := options.span(r.Info().Size)
		var dst []byte
		for n = 0; ; {
			var err error
			if dst, err = room(hi-lo, dst[:n]); err != nil {
				return 0, err
			}
			k, err := r.ReadInto(ctx, dst[n:], lo+int64(n))
			n += k
			switch {
			case err != nil || int64(n) >= hi-lo:
				return 0, err
			case k == 0:
				return 0, io.ErrUnexpectedEOF
			}
		}
	})
	f.release(err)
	if err != nil {
		return 0, asMiss(err)
	}
	return n, nil
}
