package proxy

import (
	"context"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Drain moves everything that nodes hold to others, as Resize does with those that
// leave the pool, so that their instances can be replaced and nothing is lost. When
// it returns nil the catalog names nothing on them, and nothing is stored there,
// asked of them or kept warm until Admit. Nodes that are drained already, or named
// twice, are no error. The marks are kept in memory: a proxy that is started again
// has none.
//
// With an error the nodes that were not drained before take chunks again. It matches
// wire.ErrRequest if there is no such node, or if fewer would be left for chunks than
// the shape needs; wire.ErrBusy while another Drain or a Resize runs; and
// wire.ErrUnavailable if chunks could not be moved.
func (p *Proxy) Drain(ctx context.Context, nodes []uint32, progress func(done, total int)) error {
	if !p.resizing.TryLock() {
		return errResizing
	}
	defer p.resizing.Unlock()
	if err := p.checkNodes(nodes); err != nil {
		return err
	}
	leave := slices.DeleteFunc(slices.Clone(nodes), p.pool.Drained)
	slices.Sort(leave)
	leave = slices.Compact(leave)
	if left, need := p.pool.Lasting()-len(leave), p.fewest(); len(leave) > 0 && left < need {
		return wire.Errorf(wire.CodeRequest, "%d nodes would be left for chunks, the shape needs %d", left, need)
	}
	began := time.Now()
	if err := p.empty(ctx, leave, progress); err != nil {
		return err
	}
	for _, node := range leave {
		p.pool.Emptied(node)
	}
	p.log.Info("nodes drained", "nodes", leave, "took", time.Since(began))
	return nil
}

// Admit has drained nodes take chunks again. What was known of their instances is
// forgotten. Nodes that are not drained stay as they are. The error matches
// wire.ErrRequest if there is no such node, and wire.ErrBusy while a Drain or a
// Resize runs; then nothing has changed.
func (p *Proxy) Admit(nodes []uint32) error {
	if !p.resizing.TryLock() {
		return errResizing
	}
	defer p.resizing.Unlock()
	if err := p.checkNodes(nodes); err != nil {
		return err
	}
	for _, node := range nodes {
		p.pool.Admit(node)
	}
	p.log.Info("nodes admitted", "nodes", nodes)
	return nil
}

// checkNodes refuses numbers that no node has.
func (p *Proxy) checkNodes(nodes []uint32) error {
	count := p.pool.Nodes()
	for _, node := range nodes {
		if int64(node) >= int64(count) {
			return wire.Errorf(wire.CodeRequest, "node %d given, allowed are 0 to %d", node, count-1)
		}
	}
	return nil
}
