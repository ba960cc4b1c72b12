package proxy

import (
	"context"

	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// errResizing: Resize, Drain and Admit are not called by two at a time.
var errResizing = wire.Errorf(wire.CodeBusy, "the pool is being resized or drained already")

// Resize changes how many nodes the pool has. New ones take load at once. What
// the ones that leave hold, those with the highest numbers, is moved to the others
// before, hottest first; objects are evicted if these have not enough room. Two
// chunks of a stripe come to share a node where it has more chunks than there are
// nodes left. Versions under way are waited for, up to 30 s. progress, which may be
// nil, hears how many chunks of how many are done with.
//
// With an error the pool has as many nodes as before. It matches wire.ErrRequest
// if there cannot be so many nodes, wire.ErrBusy while another Resize or a Drain
// runs, and wire.ErrUnavailable if chunks could not be moved.
func (p *Proxy) Resize(ctx context.Context, nodes int, progress func(done, total int)) error {
	if !p.resizing.TryLock() {
		return errResizing
	}
	defer p.resizing.Unlock()
	old, least := p.pool.Nodes(), 1
	if nodes < old {
		least = p.fewest()
	}
	var leave []uint32
	for node := range uint32(old) {
		switch {
		case int(node) >= nodes:
			leave = append(leave, node)
		case nodes < old && p.pool.Drained(node):
			least++
		}
	}
	if nodes < least || nodes > pool.MaxNodes {
		return wire.Errorf(wire.CodeRequest, "%d nodes given, allowed are %d to %d", nodes, least, pool.MaxNodes)
	}
	if err := p.empty(ctx, leave, progress); err != nil {
		return err
	}
	if err := p.pool.Resize(nodes); err != nil {
		return err
	}
	p.log.Info("pool resized", "from", old, "to", nodes)
	return nil
}

// fewest is how many nodes a pool must keep for chunks when it gives others up.
func (p *Proxy) fewest() int { return max(p.cfg.Shape.Data+p.cfg.Shape.Parity, 1) }
