package stripe

import (
	"context"
	"fmt"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// flight is the gathers that are under way for one call of a Reader, in the
// order of their bytes: those of one stripe and of the next. Everything happens
// on the caller's goroutine.
type flight struct {
	r         *Reader
	wake      chan struct{}
	timer     *time.Timer
	queue     []pending
	next, end int64 // bytes of the object that no gather has yet

	dst []byte // of ReadInto, holding the object's bytes from off on
	off int64
}

// pending is a gather and the memory of its span, nil if that is the caller's.
type pending struct {
	*gather
	mem []byte
}

// take returns the gather of the next bytes when it is settled, nil at the end.
// It stays in the queue until drop.
func (f *flight) take(ctx context.Context) (*gather, error) {
	if err := f.launch(ctx); err != nil {
		return nil, err
	}
	if len(f.queue) == 0 {
		return nil, nil
	}
	g := f.queue[0].gather
	if err := f.wait(ctx, g); err != nil {
		return nil, err
	}
	return g, g.settle()
}

// drop gives up the first gather's memory.
func (f *flight) drop() {
	f.queue[0].release(f.queue[0].mem)
	n := copy(f.queue, f.queue[1:])
	f.queue[n] = pending{}
	f.queue = f.queue[:n]
}

// launch begins gathers as far as two stripes and the budget allow. It waits for
// memory only while this call holds none, so that readers cannot wait for each
// other.
func (f *flight) launch(ctx context.Context) error {
	for f.next < f.end {
		s := f.r.spanAt(f.next, f.end)
		if len(f.queue) > 0 && s.stripe > f.queue[0].stripe+1 {
			return nil
		}
		var mem []byte
		if f.dst == nil {
			if len(f.queue) > 0 {
				if mem = f.r.opts.Buffers.tryAcquire(s.bytes()); mem == nil {
					return nil
				}
			} else {
				var err error
				if mem, err = f.r.opts.Buffers.acquire(ctx, s.bytes()); err != nil {
					return err
				}
			}
		}
		g := f.r.newGather(s, f.wake)
		if f.dst == nil {
			g.out = mem
		} else {
			at := f.next - f.off
			g.into(f.dst[at : at+int64(s.n)])
		}
		f.next += int64(s.n)
		f.queue = append(f.queue, pending{g, mem})
		g.begin()
	}
	return nil
}

// into lets the span's own blocks go to dst, which holds the wanted bytes only.
func (g *gather) into(dst []byte) {
	g.out, g.outAt = dst, g.skip
	end := g.skip + g.n
	if n := g.blockLen(g.first, g.from); g.skip > 0 || end < n {
		g.head = g.r.opts.Buffers.extra(n)
	}
	chunk := g.last - 1
	block := g.slots[chunk].end - 1
	at, n := g.at(chunk, block), g.blockLen(chunk, block)
	if at > 0 && end < at+n {
		g.tail, g.tailAt = g.r.opts.Buffers.extra(n), at
	}
}

// wait returns when g has what it needs. Meanwhile it serves all gathers.
func (f *flight) wait(ctx context.Context, g *gather) error {
	began := time.Now()
	for {
		now := time.Now()
		var at time.Time
		if f.r.opts.StripeTimeout > 0 {
			at = began.Add(f.r.opts.StripeTimeout)
			if !now.Before(at) {
				if done, err := g.advance(now); done || err != nil {
					return err
				}
				return wire.Errorf(wire.CodeTimeout, "stripe %d did not come within %v", g.stripe, f.r.opts.StripeTimeout)
			}
		}
		for _, other := range f.queue {
			done, err := other.advance(now)
			if other.gather == g && (done || err != nil) {
				return err
			}
			if h := other.hedgeAt; !done && err == nil && !h.IsZero() && (at.IsZero() || h.Before(at)) {
				at = h
			}
		}
		select {
		case <-f.wake:
			continue
		default:
		}
		if err := f.sleep(ctx, now, at); err != nil {
			return fmt.Errorf("stripe %d: %w", g.stripe, err)
		}
	}
}

// sleep waits for news, until at, if that is not zero.
func (f *flight) sleep(ctx context.Context, now, at time.Time) error {
	var alarm <-chan time.Time
	if !at.IsZero() {
		if d := at.Sub(now); f.timer == nil {
			f.timer = time.NewTimer(d)
		} else {
			f.timer.Reset(d)
		}
		alarm = f.timer.C
	}
	select {
	case <-f.wake:
	case <-alarm:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// quiesce waits until no source writes to memory of the caller that belongs to g,
// which is closed. A source ends every block it has begun, so this ends.
func (f *flight) quiesce(g *gather) {
	for !g.quiet() {
		<-f.wake
	}
}

// stop gives up what is under way.
func (f *flight) stop() {
	for _, p := range f.queue {
		p.close()
	}
	for _, p := range f.queue {
		if f.dst != nil {
			f.quiesce(p.gather)
		}
		p.release(p.mem)
	}
	f.queue = nil
	if f.timer != nil {
		f.timer.Stop()
	}
}
