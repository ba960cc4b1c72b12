package infinicache

import (
	"errors"
	"fmt"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/wire"
)

// GetOption changes what Get, GetBytes and GetInto do.
type GetOption func(*getOptions)

type getOptions struct {
	policy ReadPolicy
	off, n int64 // n < 0: to the end
	err    error
}

// Range reads n bytes from offset off only; negative n means to the end. What lies
// beyond the object's end is left out. Only the blocks of 256 KiB that the range
// touches are fetched.
func Range(off, n int64) GetOption {
	return func(o *getOptions) {
		if off < 0 {
			o.err = errors.Join(o.err, fmt.Errorf("%w: Range: offset is %d, want 0 or more", ErrRequest, off))
		}
		o.off, o.n = off, max(n, -1)
	}
}

// WithPolicy overrides the ReadPolicy of the Config.
func WithPolicy(p ReadPolicy) GetOption {
	return func(o *getOptions) {
		if p != Hedged && p != All {
			o.err = errors.Join(o.err, fmt.Errorf("%w: WithPolicy: %d, want Hedged or All", ErrRequest, p))
		}
		o.policy = p
	}
}

func (c *Client) getOptions(opts []GetOption) (getOptions, error) {
	o := getOptions{policy: c.cfg.ReadPolicy, n: -1}
	for _, set := range opts {
		set(&o)
	}
	return o, o.err
}

// span is the part, from offset lo to hi, that is wanted of an object.
func (o *getOptions) span(size int64) (lo, hi int64) {
	lo, hi = min(o.off, size), size
	if o.n >= 0 && o.n < size-lo {
		hi = lo + o.n
	}
	return lo, hi
}

// PutOption changes what Put, PutBytes and Writer do.
type PutOption func(*putOptions)

type putOptions struct {
	expires   time.Time // zero: never
	keep      bool
	condition object.Condition
	shape     Shape
	err       error
}

// WithTTL has the object expire after d, which is more than 0 and counts from the
// call.
func WithTTL(d time.Duration) PutOption {
	return func(o *putOptions) {
		if d <= 0 {
			o.err = errors.Join(o.err, fmt.Errorf("%w: WithTTL: %v, want more than 0", ErrRequest, d))
		}
		o.expires = time.Now().Add(d)
	}
}

// WithExpiry has the object expire at t, by this machine's clock; the zero time
// means never. A time in the past leaves the key without an object.
func WithExpiry(t time.Time) PutOption {
	return func(o *putOptions) { o.expires = t }
}

// KeepTTL takes over the expiry of the version that is replaced.
func KeepTTL() PutOption {
	return func(o *putOptions) { o.keep = true }
}

// IfAbsent stores only where the key has no object; ErrCondition otherwise.
func IfAbsent() PutOption { return withCondition(object.IfAbsent) }

// IfPresent stores only where the key has an object; ErrCondition otherwise.
func IfPresent() PutOption { return withCondition(object.IfPresent) }

func withCondition(c object.Condition) PutOption {
	return func(o *putOptions) {
		if o.condition != object.Always && o.condition != c {
			o.err = errors.Join(o.err, fmt.Errorf("%w: IfAbsent and IfPresent exclude each other", ErrRequest))
		}
		o.condition = c
	}
}

// WithShape codes the object as data+parity chunks a stripe instead of as size and
// pool suggest. A pool that has fewer functions than chunks takes less.
func WithShape(data, parity int) PutOption {
	return func(o *putOptions) {
		shape := object.Shape{Data: data, Parity: parity}
		if err := placement.CheckShape(shape); err != nil {
			o.err = errors.Join(o.err, fmt.Errorf("%w: WithShape: %w", ErrRequest, err))
		}
		o.shape = Shape(shape)
	}
}

func putOptionsOf(opts []PutOption) (putOptions, error) {
	var o putOptions
	for _, set := range opts {
		set(&o)
	}
	if o.keep && !o.expires.IsZero() {
		o.err = errors.Join(o.err, fmt.Errorf("%w: KeepTTL excludes WithTTL and WithExpiry", ErrRequest))
	}
	return o, o.err
}

// message is the PUT of an object whose stored form has size bytes, -1 if that is
// not known.
func (o *putOptions) message(key string, size int64, seal wire.Seal) *wire.Put {
	m := &wire.Put{
		Key: key, Size: size, Seal: seal, KeepExpiry: o.keep, Condition: uint8(o.condition),
		Data: uint8(o.shape.Data), Parity: uint8(o.shape.Parity),
	}
	if !o.expires.IsZero() {
		if left := time.Until(o.expires); left > 0 {
			m.ExpiresIn = left.Milliseconds() + 1 // never early
		} else {
			m.ExpiresIn = -1
		}
	}
	return m
}
