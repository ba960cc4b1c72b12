package proxy

import (
	"context"
	"errors"
	"slices"
	"sync"
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

const (
	// drainPause is how long after all that an instance held was moved it is
	// looked at again: versions that were under way are committed there meanwhile.
	drainPause = 100 * time.Millisecond
	// drainRetry is how long after a round in which no chunk could be moved the next
	// one begins: those that are to take them may have to start first.
	drainRetry = 500 * time.Millisecond
)

// destination says where chunks may go that have to leave an instance.
type destination uint8

const (
	// moveHome is to the node's next instance, too, if it has one already.
	moveHome destination = iota
	// moveAway is to other nodes.
	moveAway
	// moveAnyhow is to other nodes, and whatever it takes: evicting an object, or
	// putting two chunks of a stripe on one node. The others do that only if fewer
	// chunks of the stripe stay than a write needs.
	moveAnyhow
)

// errSpared: there is no room for the chunk, and its stripe can do without it.
var errSpared = errors.New("the stripe can spare the chunk")

// leaving hears that the platform ends an instance soon: what no other holds moves
// to other nodes, hottest first, as far as the time goes. Until then the instance
// serves, and is kept from sleeping.
func (p *Proxy) leaving(node uint32, instance wire.Instance, left time.Duration) {
	p.metrics.notices.Add(1)
	p.work.Go(func() {
		began := time.Now()
		ctx, cancel := context.WithTimeoutCause(p.ctx, left, wire.ErrTimeout)
		defer cancel()
		defer p.pool.Hold(node, instance)()
		var mu sync.Mutex
		spared := map[wire.Chunk]bool{}
		seen := map[wire.Chunk]bool{}
		moved, quiet := int64(0), 0
		for quiet < 2 && ctx.Err() == nil {
			held := slices.DeleteFunc(p.holdingsOf(ctx, node, instance), func(h holding) bool { return spared[h.chunk] })
			for _, h := range held {
				seen[h.chunk] = true
			}
			how := moveHome
			if time.Since(began) > left/2 {
				how = moveAway // the next instance would have come by now
			}
			n := p.moveAll(ctx, held, how, func(h holding, err error) {
				if errors.Is(err, errSpared) {
					mu.Lock()
					spared[h.chunk] = true
					mu.Unlock()
				}
			})
			moved += n
			pause := drainPause
			switch {
			case len(held) == 0:
				quiet++
			case n == 0:
				quiet, pause = 0, drainRetry
			default:
				quiet = 0
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
		p.log.Info("node drained on notice", "node", node, "instance", instance, "notice", left,
			"chunks", len(seen), "moved", moved, "took", time.Since(began))
	})
}

// holdingsOf lists the chunks that the catalog names and that an instance holds
// which leaves, and no other that stays, hottest first. The instance names them
// itself, if it answers.
func (p *Proxy) holdingsOf(ctx context.Context, node uint32, instance wire.Instance) []holding {
	var held []holding
	_, err := p.pool.List(ctx, node, instance, 0, lifecycle.Drain, func(h wire.Held) {
		if x, ok := p.recognize(node, h); ok && len(held) < maxDelta && p.pool.Leaves(x.at, instance) {
			held = append(held, x)
		}
	})
	if err != nil { // it is between two sessions
		held = held[:0]
		for _, h := range p.holdingsOn(map[uint32]bool{node: true}) {
			if p.pool.Leaves(h.at, instance) {
				held = append(held, h)
			}
		}
	}
	hottestFirst(held)
	return held
}

// holdingsOn lists all chunks that the catalog names on nodes, in no order.
func (p *Proxy) holdingsOn(nodes map[uint32]bool) []holding {
	var held []holding
	p.catalog.Each(func(r wire.Record, places []catalog.Place) bool {
		chunks := int(r.Data) + int(r.Parity)
		for k, at := range places {
			if at.Instance == 0 || !nodes[at.Node] {
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
	return held
}

// moveAll moves chunks to other nodes and says how many it moved. done, which may
// be nil, is called after each that is done with, with what came of it.
func (p *Proxy) moveAll(ctx context.Context, held []holding, how destination, done func(h holding, err error)) (moved int64) {
	var count atomic.Int64
	g := new(errgroup.Group)
	g.SetLimit(copiesAtOnce)
	for _, h := range held {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			moved, err := p.move(ctx, h, how)
			switch {
			case moved:
				count.Add(1)
				p.metrics.chunksMoved.Add(1)
			case err != nil && ctx.Err() == nil:
				p.log.Debug("chunk not moved", "node", h.at.Node, "key", hashed(h.key), "err", err)
			}
			if done != nil {
				done(h, err)
			}
			return nil
		})
	}
	_ = g.Wait() // no error is returned to it
	return count.Load()
}

// move copies a chunk to a node that holds no other of its stripe, and has the
// catalog name it there. That the version is replaced meanwhile is no error. The
// error is errSpared where that takes more than how allows.
func (p *Proxy) move(ctx context.Context, h holding, how destination) (moved bool, err error) {
	pin := p.catalog.PinVersion(h.key, h.chunk.Version)
	if pin == nil {
		return false, nil
	}
	defer pin.Release()
	rec := pin.Record()
	record := rec.Append(nil)
	cost := pool.Cost(int(h.size), len(record))
	to, done, err := p.apart.choose(ctx, stripeOf{h.chunk.Version, h.chunk.Stripe}, func(others []uint32) (uint32, error) {
		members, stay := slices.Clone(others), len(others)
		for _, at := range pin.Places(h.chunk.Stripe, nil) {
			home := how == moveHome && at == h.at && p.pool.Succeeded(at)
			if !home { // else the node's next instance is as good as another
				members = append(members, at.Node)
			}
			if p.pool.Stays(at) {
				stay++
			}
		}
		to, err := p.tryPlace(1, cost, append(p.departing(), members...))
		if errors.Is(err, placement.ErrTooFewNodes) {
			if how != moveAnyhow && stay >= quorum(int(rec.Data), int(rec.Parity)) {
				return 0, errSpared
			}
			to, err = p.placeBeside(ctx, cost, members)
		}
		if err != nil {
			return 0, err
		}
		return to[0], nil
	})
	if err != nil {
		return false, err
	}
	defer done()
	at, err := p.pool.Move(ctx, h.at, h.chunk, h.size, record, to, lifecycle.Drain)
	if err != nil {
		if errors.Is(err, wire.ErrNotHeld) {
			p.chunkFailed(pin, h.chunk.Stripe, h.chunk.Index, h.at, err)
		}
		return false, err
	}
	if !pin.SetPlace(h.chunk.Stripe, int(h.chunk.Index), h.at, at) {
		p.pool.Free(at, h.chunk, cost)
		return false, nil
	}
	p.pool.Free(h.at, h.chunk, cost)
	return true, nil
}
