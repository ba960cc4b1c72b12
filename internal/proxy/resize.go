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
	// resizeRounds is how often the nodes that leave are looked at again: versions
	// that were under way when the resize began are committed there meanwhile.
	resizeRounds = 5
	// resizePause is between two of them.
	resizePause = 200 * time.Millisecond
)

// Resize changes how many nodes the pool has. New ones take load at once. What
// the ones that leave hold, those with the highest numbers, is moved to the others
// before, hottest first; objects are evicted if these have not enough room.
// progress, which may be nil, hears how many chunks of how many are done with.
//
// With an error the pool has as many nodes as before. It matches wire.ErrRequest
// if there cannot be so many nodes, and wire.ErrBusy while another Resize runs.
func (p *Proxy) Resize(ctx context.Context, nodes int, progress func(done, total int)) error {
	if !p.resizing.TryLock() {
		return wire.Errorf(wire.CodeBusy, "the pool is being resized already")
	}
	defer p.resizing.Unlock()
	least := max(p.cfg.Shape.Data+p.cfg.Shape.Parity, 1)
	if nodes < least || nodes > pool.MaxNodes {
		return wire.Errorf(wire.CodeRequest, "%d nodes given, allowed are %d to %d", nodes, least, pool.MaxNodes)
	}
	old := p.pool.Nodes()
	if nodes < old {
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
	for round := range resizeRounds {
		var held []holding
		for node := from; node < to; node++ {
			held = append(held, p.holdingsOn(node)...)
		}
		if len(held) == 0 {
			return nil
		}
		hottestFirst(held)
		ticks := newTicks(len(held), progress)
		p.moveAll(ctx, held, ticks.done)
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if round > 0 {
			// What cannot be moved is out of reach: other chunks make it anew.
			p.abandon(held)
		}
		select {
		case <-time.After(resizePause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	left := 0
	for node := from; node < to; node++ {
		left += len(p.holdingsOn(node))
	}
	if left > 0 {
		return fmt.Errorf("%d chunks could not be moved from nodes %d to %d: %w", left, from, to-1, wire.ErrUnavailable)
	}
	return nil
}

// abandon has those of held that are still where they were be held by nobody, and
// repaired.
func (p *Proxy) abandon(held []holding) {
	for _, h := range held {
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
