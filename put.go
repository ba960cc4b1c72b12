package infinicache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// PutBytes stores body under key, in place of what is there. Blocks are sent from
// body itself, or encrypted from it, so that it must not change until PutBytes
// returns. Readers see the old
// version or the new one, nothing between.
//
// If the link breaks PutBytes tries again, except where the old try may have been
// committed: then the error matches ErrUnknown, unless the proxy can be asked.
func (c *Client) PutBytes(ctx context.Context, key string, body []byte, opts ...PutOption) (Info, error) {
	info, err := c.put(ctx, key, contentOf(body), opts)
	return info, failed("put", key, err)
}

// Put stores size bytes of body under key, as PutBytes does, with bounded memory
// whatever the size. If body has fewer the error matches ErrShort and nothing is
// stored; more are left unread. Size -1 means all that body has, of which up to
// 10 MiB are gathered first, beyond Config.Memory.
//
// A Put whose link breaks is tried again only if body is an io.Seeker. A Read of
// body is not interrupted when ctx ends.
func (c *Client) Put(ctx context.Context, key string, body io.Reader, size int64, opts ...PutOption) (Info, error) {
	in, err := measure(body, size)
	if err != nil {
		return Info{}, failed("put", key, err)
	}
	info, err := c.put(ctx, key, in, opts)
	return info, failed("put", key, err)
}

// content is what a Put stores.
type content struct {
	bytes  []byte // if body is nil
	body   io.Reader
	size   int64        // -1: not known, and more than a stripe
	rewind func() error // goes back to where body began; nil: it cannot
}

func contentOf(b []byte) *content {
	return &content{bytes: b, size: int64(len(b)), rewind: func() error { return nil }}
}

// measure finds out what it can of a body.
func measure(body io.Reader, size int64) (*content, error) {
	in := &content{body: body, size: size}
	if size < -1 || size > wire.MaxObject {
		return nil, fmt.Errorf("%w: size is %d, want -1 to %d", ErrRequest, size, int64(wire.MaxObject))
	}
	if body == nil {
		in.body = bytes.NewReader(nil)
	}
	if s, ok := body.(io.Seeker); ok {
		if at, err := s.Seek(0, io.SeekCurrent); err == nil {
			in.rewind = func() error {
				_, err := s.Seek(at, io.SeekStart)
				return err
			}
		}
	}
	if in.size >= 0 {
		return in, nil
	}
	head, whole, err := gather(in.body)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if whole {
		return contentOf(head), nil
	}
	in.body = io.MultiReader(bytes.NewReader(head), body)
	if again := in.rewind; again != nil {
		in.rewind = func() error {
			in.body = body
			return again()
		}
	}
	return in, nil
}

// gather reads the first bytes of a body whose size is not known, more than a
// stripe unless they are the whole.
func gather(body io.Reader) (head []byte, whole bool, err error) {
	var b bytes.Buffer
	_, err = io.CopyN(&b, body, placement.StripeSize+1)
	if err == io.EOF {
		return b.Bytes(), true, nil
	}
	return b.Bytes(), false, err
}

// sealed is the content as it is stored: with a key, its sealed form, which differs
// each time, so that an attempt that reads another body gives nothing away.
func (in *content) sealed(k *seal.Key, name string) (*content, wire.Seal) {
	if k == nil {
		return in, wire.Seal{}
	}
	var s *seal.Sealer
	if in.body == nil {
		s = k.SealBytes(name, in.bytes)
	} else {
		s = k.Seal(name, in.body, in.size)
	}
	return &content{body: s, size: s.Size()}, s.Seal()
}

// send runs the engine.
func (in *content) send(ctx context.Context, u *upload, opts stripe.WriterOptions) (object.PutResult, error) {
	if in.body == nil {
		defer guard(ctx, u.conn)()
		return stripe.WriteBytes(ctx, u, in.bytes, opts)
	}
	return stripe.Write(ctx, u, in.body, in.size, opts)
}

func (c *Client) put(ctx context.Context, key string, in *content, opts []PutOption) (Info, error) {
	o, err := putOptionsOf(opts)
	if err != nil {
		return Info{}, err
	}
	owner, err := c.owner(key)
	if err != nil {
		return Info{}, err
	}
	if most := seal.Most(wire.MaxObject); c.key != nil && in.size > most {
		return Info{}, fmt.Errorf("%w: size is %d, want up to %d to encrypt it", ErrRequest, in.size, most)
	}
	ctx, cancel := c.scope(ctx)
	defer cancel(nil)
	var info Info
	err = owner.do(ctx, func(conn *connection) error {
		form, seal := in.sealed(c.key, key)
		u, err := conn.upload(ctx, o.message(key, form.size, seal))
		if err != nil {
			return err
		}
		res, err := form.send(ctx, u, stripe.WriterOptions{Buffers: c.buffers, Codes: &c.codes})
		switch {
		case err == nil && !res.Stored:
			return ErrCondition
		case err == nil:
			info = o.info(key, u, seal)
			return nil
		case !worthRetry(err):
			return err
		case u.inDoubt():
			info, err = c.settle(ctx, key, u.Plan().Version, err)
			return err
		case in.rewind == nil:
			return final{err}
		}
		if failure := in.rewind(); failure != nil {
			return final{errors.Join(err, fmt.Errorf("rewind body: %w", failure))}
		}
		return err
	})
	return info, err
}

// settle asks the proxy whether a version was committed whose link broke with err
// before the answer came.
func (c *Client) settle(ctx context.Context, key string, version uint64, err error) (Info, error) {
	if a, failure := c.askOwner(ctx, wire.TypeStat, key); failure == nil && a.opened.Version == version {
		return infoOf(a.opened), nil
	}
	return Info{}, final{fmt.Errorf("%w: %w", ErrUnknown, err)}
}

// info describes a version that was just committed.
func (o *putOptions) info(key string, u *upload, s wire.Seal) Info {
	plan := u.Plan()
	return Info{
		Key: key, Version: plan.Version, Size: seal.Size(&wire.Record{Size: u.size, Seal: s}), Encrypted: s != (wire.Seal{}),
		Shape: Shape(plan.Shape), Expires: o.expires,
	}
}
