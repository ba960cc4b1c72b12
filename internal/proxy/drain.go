package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// leaving hears that the platform ends an instance soon: what it alone holds moves
// to other nodes, hottest first, as far as the time goes.
func (p *Proxy) leaving(node uint32, instance wire.Instance, left time.Duration) {
	p.metrics.notices.Add(1)
	p.work.Go(func() {
		began := time.Now()
		ctx, cancel := context.WithTimeoutCause(p.ctx, left, wire.ErrTimeout)
		defer cancel()
		held, err := p.holdingsOf(ctx, node, instance)
		moved := p.moveAll(ctx, held, nil)
		p.log.Info("node drained on notice", "node", node, "instance", instance, "notice", left,
			"chunks", len(held), "moved", moved, "took", time.Since(began), "err", err)
	})
}

// holdingsOf lists the chunks that the catalog names and one instance alone holds,
// hottest first. With an error it lists what was heard until then.
func (p *Proxy) holdingsOf(ctx context.Context, node uint32, instance wire.Instance) ([]holding, error) {
	var held []holding
	_, err := p.pool.List(ctx, node, instance, 0, lifecycle.Drain, func(h wire.Held) {
		if x, ok := p.recognize(node, h); ok && len(held) < maxDelta && p.pool.Only(x.at, instance) {
			held = append(held, x)
		}
	})
	hottestFirst(held)
	return held, err
}

// holdingsOn lists all chunks that the catalog names on a node, hottest first.
func (p *Proxy) holdingsOn(node uint32) []holding {
	var held []holding
	p.catalog.Each(func(r wire.Record, places []catalog.Place) bool {
		chunks := int(r.Data) + int(r.Parity)
		for k, at := range places {
			if at.Node != node || at.Instance == 0 {
				continue
			}
			number, index := uint32(k/chunks), k%chunks
			cut := placement.Stripes{Size: r.Size, Stripe: r.Stripe}
			size := erasure.NewLayout(cut.Len(int(number)), int(r.Data), int(r.Parity)).Len(index)
			if size == 0 {
				continue
			}
			read, _ := p.catalog.LastRead(r.Key, r.Version)
			held = append(held, holding{
				chunk: wire.Chunk{Version: r.Version, Stripe: number, Index: uint16(index)},
				size:  uint32(size), key: r.Key, at: at, read: read,
			})
		}
		return true
	})
	hottestFirst(held)
	return held
}

// moveAll moves chunks to other nodes and says how many it moved. moved, which may
// be nil, is called after each that is done with, whatever came of it.
func (p *Proxy) moveAll(ctx context.Context, held []holding, done func()) (moved int64) {
	var count atomic.Int64
	g := new(errgroup.Group)
	g.SetLimit(copiesAtOnce)
	for _, h := range held {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			switch err := p.move(ctx, h); {
			case err == nil:
				count.Add(1)
				p.metrics.chunksMoved.Add(1)
			case ctx.Err() == nil:
				p.log.Debug("chunk not moved", "node", h.at.Node, "key", hashed(h.key), "err", err)
			}
			if done != nil {
				done()
			}
			return nil
		})
	}
	_ = g.Wait() // no error is returned to it
	return count.Load()
}

// move copies a chunk to a node that holds no other of its stripe, and has the
// catalog name it there. A version that is replaced meanwhile is no error.
func (p *Proxy) move(ctx context.Context, h holding) error {
	pin := p.catalog.PinVersion(h.key, h.chunk.Version)
	if pin == nil {
		return nil
	}
	defer pin.Release()
	rec := pin.Record()
	record := rec.Append(nil)
	cost := pool.Cost(int(h.size), len(record))
	var members []uint32
	for _, at := range pin.Places(h.chunk.Stripe, nil) {
		members = append(members, at.Node)
	}
	nodes, err := p.tryPlace(1, cost, members)
	if errors.Is(err, placement.ErrTooFewNodes) {
		nodes, err = p.place(ctx, 1, cost, members)
	}
	if err != nil {
		return err
	}
	at, err := p.pool.Move(ctx, h.at, h.chunk, h.size, record, nodes[0], lifecycle.Drain)
	if err != nil {
		return err
	}
	if !pin.SetPlace(h.chunk.Stripe, int(h.chunk.Index), h.at, at) {
		p.pool.Free(at, h.chunk, cost)
		return nil
	}
	p.pool.Free(h.at, h.chunk, cost)
	return nil
}
