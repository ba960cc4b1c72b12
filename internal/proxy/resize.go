package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// resizeRounds is how often in a row nothing can be moved before a resize gives
	// up.
	resizeRounds = 5
	// resizePause is between two looks at the nodes that leave: versions that were
	// under way when the resize began are committed there meanwhile.
	resizePause = 200 * time.Millisecond
	// uploadPatience is how long such a version is waited for. Then it fails, as
	// unavailable.
	uploadPatience = 30 * time.Second
)

// Resize changes how many nodes the pool has. New ones take load at once. What
// the ones that leave hold, those with the highest numbers, is moved to the others
// before, hottest first; objects are evicted if these have not enough room. Two
// chunks of a stripe come to share a node where it has more chunks than there are
// nodes left. Versions under way are waited for, up to 30 s. progress, which may be
// nil, hears how many chunks of how many are done with.
//
// With an error the pool has as many nodes as before. It matches wire.ErrRequest
// if there cannot be so many nodes, wire.ErrBusy while another Resize runs, and
// wire.ErrUnavailable if chunks could not be moved.
func (p *Proxy) Resize(ctx context.Context, nodes int, progress func(done, total int)) error {
	if !p.resizing.TryLock() {
		return wire.Errorf(wire.CodeBusy, "the pool is being resized already")
	}
	defer p.resizing.Unlock()
	old, least := p.pool.Nodes(), 1
	if nodes < old {
		least = max(p.cfg.Shape.Data+p.cfg.Shape.Parity, 1)
	}
	if nodes < least || nodes > pool.MaxNodes {
		return wire.Errorf(wire.CodeRequest, "%d nodes given, allowed are %d to %d", nodes, least, pool.MaxNodes)
	}
	if nodes < old {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(p.ctx, func() { cancel(context.Cause(p.ctx)) })()
		if err := p.empty(ctx, uint32(nodes), uint32(old), progress); err != nil {
			return err
		}
	}
	if err := p.pool.Resize(nodes); err != nil {
		return err
	}
	p.log.Info("pool resized", "from", old, "to", nodes)
	return nil
}

// empty moves everything away from nodes from to to-1, which take no new chunks
// from now on. With an error they do again.
func (p *Proxy) empty(ctx context.Context, from, to uint32, progress func(done, total int)) (err error) {
	leave := func(yes bool) {
		for node := from; node < to; node++ {
			p.pool.Leave(node, yes)
		}
	}
	leave(true)
	defer func() {
		if err != nil {
			leave(false)
		}
	}()
	began := time.Now()
	ticks := newTicks(progress)
	for idle := 0; ; {
		under := p.uploads.on(from)
		held := p.holdingsIn(from, to)
		if len(under)+len(held) == 0 {
			return nil
		}
		if idle > resizeRounds {
			return fmt.Errorf("%d chunks could not be moved from nodes %d to %d: %w", len(held), from, to-1, wire.ErrUnavailable)
		}
		hottestFirst(held)
		ticks.expect(len(held))
		moved := p.moveAll(ctx, held, true, ticks.done)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		idle++
		if moved > 0 || len(held) == 0 {
			idle = 0
		}
		if idle > 1 {
			p.abandon(held)
		}
		if time.Since(began) > uploadPatience {
			p.uploads.giveUp(under)
		}
		select {
		case <-time.After(resizePause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// abandon has those of held that are out of reach be held by nobody, and made anew
// from the other chunks. Instances that are unheard are sought once more by that.
func (p *Proxy) abandon(held []holding) {
	for _, h := range held {
		if s := p.pool.State(h.at); s != pool.Lost && s != pool.Unheard {
			continue
		}
		pin := p.catalog.PinVersion(h.key, h.chunk.Version)
		if pin == nil {
			continue
		}
		if pin.SetPlace(h.chunk.Stripe, int(h.chunk.Index), h.at, catalog.Place{Node: h.at.Node}) {
			rec := pin.Record()
			p.pool.Free(h.at, h.chunk, pool.Cost(int(h.size), len(rec.Append(nil))))
			p.repairs.ask(h.key, h.chunk.Version)
		}
		pin.Release()
	}
}
