package proxy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// emptyRounds is how often in a row nothing can be moved before nodes are not
	// emptied after all.
	emptyRounds = 5
	// emptyPause is between two looks at nodes that are being emptied: versions that
	// were under way at the beginning are committed there meanwhile.
	emptyPause = 200 * time.Millisecond
	// uploadPatience is how long a version under way is waited for. Then it fails,
	// as unavailable. Readers of versions that were replaced are waited for as long.
	uploadPatience = 30 * time.Second
)

// empty moves everything away from nodes, which take no new chunks from now on.
// With an error they do again. Those that are drained are so already, and stay so.
func (p *Proxy) empty(ctx context.Context, nodes []uint32, progress func(done, total int)) (err error) {
	nodes = slices.DeleteFunc(slices.Clone(nodes), p.pool.Drained)
	if len(nodes) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ctx, func() { cancel(context.Cause(p.ctx)) })()
	leave := map[uint32]bool{}
	for _, node := range nodes {
		leave[node] = true
		p.pool.Leave(node, true)
	}
	defer func() {
		if err != nil {
			for node := range leave {
				p.pool.Leave(node, false)
			}
		}
	}()
	began := time.Now()
	ticks := newTicks(progress)
	for idle := 0; ; {
		promised, chunks := p.used(nodes) // before the catalog is looked at: it hears later
		under := p.uploads.on(leave, p.pool.Lasting())
		held := p.holdingsOn(leave)
		patient := time.Since(began) <= uploadPatience
		if len(under)+len(held) == 0 && promised == 0 && (chunks == 0 || !patient) {
			return nil
		}
		if idle > emptyRounds && len(held) > 0 {
			return fmt.Errorf("%d chunks could not be moved, one of them from node %d: %w", len(held), held[0].at.Node, wire.ErrUnavailable)
		}
		hottestFirst(held)
		ticks.expect(len(held))
		moved := p.moveAll(ctx, held, moveAnyhow, func(holding, error) { ticks.done() })
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
		if !patient {
			p.uploads.giveUp(under)
		}
		select {
		case <-time.After(emptyPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// used sums up what the pool knows to be on nodes, or on its way there.
func (p *Proxy) used(nodes []uint32) (promised int64, chunks int) {
	for _, node := range nodes {
		bytes, count := p.pool.Used(node)
		promised += bytes
		chunks += count
	}
	return promised, chunks
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
