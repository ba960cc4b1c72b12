package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/wire"
)

// tryPlace reserves cost bytes on each of n distinct nodes outside avoid, if
// they have room now. Nodes that rest after a failure are taken only when there
// are too few others: a store waits for them.
func (p *Proxy) tryPlace(n int, cost int64, avoid []uint32) ([]uint32, error) {
	for {
		candidates := p.pool.Candidates()
		p.rngMu.Lock()
		nodes, err := placement.Choose(p.rng, n, cost, candidates, avoid...)
		if errors.Is(err, placement.ErrTooFewNodes) {
			for i := range candidates {
				candidates[i].Barred = false
			}
			nodes, err = placement.Choose(p.rng, n, cost, candidates, avoid...)
		}
		p.rngMu.Unlock()
		if err != nil {
			return nil, err
		}
		if p.reserve(nodes, cost) {
			return nodes, nil
		}
	}
}

// reserve reserves on all of nodes or on none.
func (p *Proxy) reserve(nodes []uint32, cost int64) bool {
	for i, n := range nodes {
		if !p.pool.Reserve(n, cost) {
			for _, done := range nodes[:i] {
				p.pool.Unreserve(done, cost)
			}
			return false
		}
	}
	return true
}

// place is tryPlace that makes room by eviction if it must. Its error matches
// wire.ErrFull if nothing more can be evicted.
func (p *Proxy) place(ctx context.Context, n int, cost int64, avoid []uint32) ([]uint32, error) {
	nodes, err := p.tryPlace(n, cost, avoid)
	if err == nil || !errors.Is(err, placement.ErrTooFewNodes) {
		return nodes, err
	}
	if err := p.room.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	defer p.room.Release(1)
	avoid = append([]uint32(nil), avoid...)
	for {
		if nodes, err = p.tryPlace(n, cost, avoid); err == nil || !errors.Is(err, placement.ErrTooFewNodes) {
			return nodes, err
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		dirty, err := p.makeRoom(n, cost, avoid)
		if err != nil {
			return nil, err
		}
		// Nodes that cannot be made to let go now are left out; others must.
		avoid = append(avoid, p.flush(ctx, dirty)...)
	}
}

// departing lists the nodes that are not good for new chunks in the long run.
func (p *Proxy) departing() []uint32 {
	stay := p.pool.Staying()
	gone := make([]uint32, 0, p.pool.Nodes()-len(stay))
	for node := range uint32(p.pool.Nodes()) {
		if _, ok := slices.BinarySearch(stay, node); !ok {
			gone = append(gone, node)
		}
	}
	return gone
}

// placeBeside reserves cost bytes for one more chunk of a stripe, of which members
// hold one each, and evicts for it if it must. Where every node that stays is a
// member, as in a pool that became smaller than the stripe is wide, it takes one of
// those with the fewest.
func (p *Proxy) placeBeside(ctx context.Context, cost int64, members []uint32) ([]uint32, error) {
	return p.place(ctx, 1, cost, p.crowded(members))
}

// tryBeside is placeBeside that evicts nothing.
func (p *Proxy) tryBeside(cost int64, members []uint32) ([]uint32, error) {
	return p.tryPlace(1, cost, p.crowded(members))
}

// crowded lists the nodes that a further chunk of a stripe is not to go to: those
// that leave, and those with more chunks of it than others that stay. members names
// each node as often as it has one.
func (p *Proxy) crowded(members []uint32) []uint32 {
	avoid := p.departing()
	fewest, counts := len(members)+1, map[uint32]int{}
	for _, node := range members {
		counts[node]++
	}
	stay := p.pool.Staying()
	for _, node := range stay {
		fewest = min(fewest, counts[node])
	}
	for _, node := range stay {
		if counts[node] > fewest {
			avoid = append(avoid, node)
		}
	}
	return avoid
}

// flush has nodes let their dead bytes go, all at once, for a sleeping one takes
// as long as its waking does. It names those that did not.
func (p *Proxy) flush(ctx context.Context, nodes []uint32) (failed []uint32) {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() { errs[i] = p.pool.Flush(ctx, node) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			failed = append(failed, nodes[i])
		}
	}
	return failed
}

// makeRoom evicts until n nodes outside avoid have cost bytes that are free or
// dead, and names those of them that must let dead bytes go first.
func (p *Proxy) makeRoom(n int, cost int64, avoid []uint32) (dirty []uint32, err error) {
	skip := make(map[uint32]bool, len(avoid))
	for _, a := range avoid {
		skip[a] = true
	}
	for {
		ready := 0
		dirty = dirty[:0]
		short := map[uint32]bool{}
		for _, c := range p.pool.Candidates() {
			switch {
			case skip[c.Node]:
			case c.Free >= cost:
				ready++
			case c.Free+p.pool.Dead(c.Node) >= cost:
				dirty = append(dirty, c.Node)
			default:
				short[c.Node] = true
			}
		}
		if ready+len(dirty) >= n {
			return dirty[:min(len(dirty), max(n-ready, 0))], nil
		}
		if len(short) == 0 {
			return nil, wire.Errorf(wire.CodeFull, "%d nodes can take chunks, the shape needs %d", ready+len(dirty), n)
		}
		info, ok := p.catalog.Evict(func(at catalog.Place) bool { return short[at.Node] })
		if !ok {
			return nil, wire.Errorf(wire.CodeFull, "no room for %d chunks of %d bytes, and nothing left to evict", n, cost)
		}
		p.metrics.evicted.Add(1)
		p.metrics.evictedBytes.Add(uint64(info.Size))
	}
}

// MaxObject is the largest object in bytes that the front doors can store at all.
func (p *Proxy) MaxObject() int64 {
	if p.key != nil {
		return seal.Most(p.largest())
	}
	return p.largest()
}

// largest is the largest object in bytes, or sealed form of one, that the pool can
// hold at all.
func (p *Proxy) largest() int64 {
	nodes := p.pool.Lasting()
	shape := placement.ShapeFor(wire.MaxObject, nodes, p.cfg.Shape)
	total := p.pool.Capacity() / 100 * 97 * int64(nodes)
	return total / int64(shape.Data+shape.Parity) * int64(shape.Data)
}

// checkSize refuses what the pool cannot hold.
func (p *Proxy) checkSize(size int64) error {
	if limit := p.largest(); size > limit {
		return fmt.Errorf("object of %d bytes, the pool holds %d at most: %w", size, limit, wire.ErrTooLarge)
	}
	return nil
}
