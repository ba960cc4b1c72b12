package infinicache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// fetch reads one object, over as many links as it takes. Its methods may be
// called at the same time, but for release.
type fetch struct {
	proxy *proxy
	key   string
	opts  getOptions

	opening chan struct{} // capacity 1: one call opens the object anew

	mu    sync.Mutex
	pin   *pin
	shown bool // the caller knows the version, so that it must stay the same
}

// fetch opens key for reading. It is released by the caller.
func (c *Client) fetch(ctx context.Context, key string, opts getOptions) (*fetch, error) {
	owner, err := c.owner(key)
	if err != nil {
		return nil, err
	}
	p, err := owner.open(ctx, key)
	if err != nil {
		return nil, err
	}
	return &fetch{proxy: owner, key: key, opts: opts, opening: make(chan struct{}, 1), pin: p}, nil
}

// current is the pinned version; show has it stay the same from now on.
func (f *fetch) current(show bool) *pin {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shown = f.shown || show
	return f.pin
}

// release gives the version up; why is how the reads went.
func (f *fetch) release(why error) { f.current(false).release(why) }

// run calls read with a reader of the object until it succeeds. When the link
// breaks it opens the object again, and calls read again; read returns how many
// bytes it brought, so that run sees progress.
func (f *fetch) run(ctx context.Context, read func(*stripe.Reader, *connection) (int64, error)) error {
	for tries := 0; ; tries++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p := f.current(false)
		n, err := read(f.reader(p), p.conn)
		broken := p.conn.ended()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case broken == nil || wire.CodeOf(err) == wire.CodeInternal: // the latter is the caller's own error
			return err
		case !worthRetry(broken):
			return broken
		}
		if n > 0 {
			tries = 0
		}
		if tries >= f.proxy.client.cfg.Retries {
			return broken
		}
		if err := f.reopen(ctx, p); err != nil {
			return err
		}
	}
}

// reopen replaces a pin whose link has ended, unless somebody has done so.
func (f *fetch) reopen(ctx context.Context, old *pin) error {
	select {
	case f.opening <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-f.opening }()
	if f.current(false) != old {
		return nil
	}
	p, err := f.proxy.open(ctx, f.key)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && f.shown && MissCause(err) != "":
		return fmt.Errorf("%w: it is gone (%s)", ErrChanged, MissCause(err))
	case err != nil:
		return err
	case f.shown && p.opened.Version != old.opened.Version:
		p.release(context.Canceled)
		return fmt.Errorf("%w: version %d has been replaced by %d", ErrChanged, old.opened.Version, p.opened.Version)
	}
	f.pin = p
	return nil
}

// reader returns a reader of a pinned version.
func (f *fetch) reader(p *pin) *stripe.Reader {
	c := f.proxy.client
	policy := stripe.PolicyHedged
	if f.opts.policy == All {
		policy = stripe.PolicyAll
	}
	return stripe.NewReader(p, p.opened.Record, stripe.ReaderOptions{
		Key: c.key, Policy: policy, Ready: p.opened.Ready, Gone: p.opened.Gone,
		Buffers: c.buffers, Tail: f.proxy.tail, Codes: &c.codes,
		StripeTimeout: c.cfg.StripeTimeout,
	})
}

// abandonAfter is how long a call that was given up waits for a block that is
// arriving in its caller's memory, or leaving from it.
const abandonAfter = 5 * time.Second

// guard bounds how long a call stays after its context has ended because a link
// still uses its caller's memory: the link is closed then. The call ends the guard
// when it returns.
func guard(ctx context.Context, c *connection) (stop func()) {
	over := make(chan struct{})
	unset := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(abandonAfter)
		defer timer.Stop()
		select {
		case <-over:
		case <-timer.C:
			c.link.Close(wire.Errorf(wire.CodeTimeout, "stopped in mid-block"))
		}
	})
	return func() {
		unset()
		close(over)
	}
}
