package proxy

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// stragglerGrace is the least time that a chunk may be later than the quorum of
// its stripe before the stripe is settled without it.
const stragglerGrace = 50 * time.Millisecond

// quorum is how many chunks of a stripe must be kept: d + ceil(p/2).
func (u *upload) quorum() int { return quorum(u.plan.Shape.Data, u.plan.Shape.Parity) }

func quorum(data, parity int) int { return data + (parity+1)/2 }

// needed is the quorum of a stripe: empty chunks are kept by nobody and missed
// by nobody.
func (u *upload) needed(s *uploadStripe) int {
	return u.quorum() - (len(s.chunks) - s.full)
}

// judge settles a stripe if it can be: all its chunks are decided, or the quorum
// is there and the rest is late. u.mu is held.
func (u *upload) judge(s *uploadStripe) {
	if s.settled || u.over {
		return
	}
	enough := s.acked >= u.needed(s)
	switch {
	case s.open == 0 && enough:
		u.settle(s)
	case s.open == 0 && u.broke:
		u.fail(wire.Errorf(wire.CodeBreaker, "only %d of the %d chunks needed were kept", s.acked, u.needed(s)))
	case s.open == 0:
		u.fail(wire.Errorf(wire.CodeUnavailable, "only %d of the %d chunks needed were kept", s.acked, u.needed(s)))
	case enough && s.want == 0 && s.grace == nil:
		s.grace = time.AfterFunc(stragglerGrace+time.Since(s.began), func() {
			u.mu.Lock()
			defer u.unlock()
			if !s.settled && !u.over {
				u.settle(s)
			}
		})
	}
}

// settle lets a stripe's stragglers go. u.mu is held.
func (u *upload) settle(s *uploadStripe) {
	s.settled = true
	u.settled++
	if s.grace != nil {
		s.grace.Stop()
	}
	for i := range s.chunks {
		if c := &s.chunks[i]; !c.over {
			c.over = true
			u.p.metrics.stragglers.Add(1)
			c.call.Cancel()
		}
	}
	u.wake()
	if !u.ending {
		u.tell.stored(s.number)
	}
}

// wake lets those who wait look again. u.mu is held.
func (u *upload) wake() {
	for _, w := range u.waiters {
		close(w)
	}
	u.waiters = nil
}

// fail gives the version up because of err. u.mu is held.
func (u *upload) fail(err error) {
	if u.over {
		return
	}
	u.err = err
	u.stop()
	u.tell.failed(err)
}

// ended is why the upload is over.
func (u *upload) ended() error {
	if u.err != nil {
		return u.err
	}
	return wire.ErrClosed
}

// abort gives the version up. It is safe at any time and more than once.
func (u *upload) abort(err error) {
	u.mu.Lock()
	defer u.unlock()
	if u.over {
		return
	}
	u.err = err
	u.stop()
}

// stop ends everything that is under way. u.mu is held.
func (u *upload) stop() {
	u.over = true
	u.p.uploads.remove(u)
	u.cancel(u.err)
	for _, s := range u.stripes {
		if s.grace != nil {
			s.grace.Stop()
		}
		for i := range s.chunks {
			c := &s.chunks[i]
			for _, h := range c.wait {
				h.owner.Release()
			}
			c.wait = nil
			if c.call != nil && !c.over {
				c.call.Cancel()
			}
		}
	}
	u.wake()
	if u.size < 0 {
		u.staged.SetSize(u.sent) // so that what is freed has its true size
	}
	u.staged.Abort()
}

// commit waits until every stripe is settled and makes the version the newest.
func (u *upload) commit(ctx context.Context, size int64, stripes uint32) (catalog.Result, error) {
	u.mu.Lock()
	u.ending = true
	for {
		var err error
		switch {
		case u.over:
			err = u.ended()
		case int(stripes) != len(u.stripes) || size != u.sent:
			err = wire.Errorf(wire.CodeShort, "commit of %d bytes in %d stripes, sent were %d in %d", size, stripes, u.sent, len(u.stripes))
		case u.size >= 0 && size != u.size:
			err = wire.Errorf(wire.CodeShort, "commit of %d bytes, declared were %d", size, u.size)
		}
		if err != nil {
			u.unlock()
			return catalog.Result{}, err
		}
		if u.settled == len(u.stripes) {
			break
		}
		changed := make(chan struct{})
		u.waiters = append(u.waiters, changed)
		u.unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return catalog.Result{}, context.Cause(ctx)
		}
		u.mu.Lock()
	}
	defer u.unlock()
	vacant, err := u.vacant()
	if err != nil {
		return catalog.Result{}, err
	}
	res, err := u.staged.Commit(size)
	if err != nil {
		return res, err
	}
	u.over = true
	u.p.uploads.remove(u)
	u.cancel(wire.ErrClosed)
	if res.Stored {
		u.p.metrics.stored(size)
		if vacant {
			u.p.repairs.ask(res.Info.Key, res.Info.Version)
		}
	}
	return res, nil
}

// vacant tells whether a chunk is held by nobody: it was not kept, or its holder is
// gone since. Its error is that of a stripe which is left without its quorum. u.mu
// is held.
func (u *upload) vacant() (some bool, err error) {
	for _, s := range u.stripes {
		missing := 0
		for i, at := range u.staged.Places(s.number) {
			if s.layout.Len(i) > 0 && u.p.pool.State(at) == pool.Lost {
				missing++
			}
		}
		if kept := s.full - missing; kept < u.needed(s) {
			return true, wire.Errorf(wire.CodeUnavailable, "only %d of the %d chunks needed of stripe %d are still held", kept, u.needed(s), s.number)
		}
		some = some || missing > 0
	}
	return some, nil
}
