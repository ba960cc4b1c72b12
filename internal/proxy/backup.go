package proxy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/spend"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// maxDelta bounds the chunks that are listed at a time, and with them the memory
	// of their list, some 50 MB.
	maxDelta = 1 << 18
	// copiesAtOnce is how many chunks are on their way between two instances, or
	// from a node that ends.
	copiesAtOnce = 4
	// backupsAtOnce is how many nodes are backed up at a time: one that stalls does
	// not hold all others up.
	backupsAtOnce = 2
	// backupBudget bounds the backup of one node.
	backupBudget = 2 * time.Minute
	// copyPatience bounds the copying of one chunk. An instance that takes longer
	// ends the backup.
	copyPatience = 15 * time.Second
)

// backups has two instances of each node hold the same, so that the platform can
// take one of them. Nodes are backed up a few at a time, each at its own phase of
// the period, and only if something was stored there since. They wait while the
// spend breaker is open.
type backups struct {
	p     *Proxy
	every time.Duration

	done, failed  atomic.Uint64
	chunks, bytes atomic.Uint64

	mu   sync.Mutex
	last time.Duration // the latest one took
}

// run backs nodes up until the proxy ends.
func (b *backups) run() {
	tick := time.NewTicker(max(b.every/1000, 10*time.Millisecond))
	defer tick.Stop()
	due := map[uint32]time.Time{}
	busy := map[uint32]bool{}
	over := make(chan uint32, backupsAtOnce)
	var running errgroup.Group
	defer func() { _ = running.Wait() }() // no error is returned to it
	for {
		select {
		case <-b.p.ctx.Done():
			return
		case node := <-over:
			delete(busy, node)
			continue
		case <-tick.C:
		}
		if b.p.pool.Breaker().Tripped != spend.None {
			continue // what may be spent is for serving
		}
		for node := range uint32(b.p.pool.Nodes()) {
			now := time.Now()
			at, ok := due[node]
			if !ok {
				at = now.Add(lifecycle.WarmPhase(node, b.every))
				due[node] = at
			}
			if now.Before(at) || busy[node] || len(busy) == backupsAtOnce {
				continue
			}
			due[node] = now.Add(b.every)
			if b.p.pool.Exposed(node) == 0 {
				continue
			}
			busy[node] = true
			running.Go(func() error {
				b.one(node)
				over <- node
				return nil
			})
		}
	}
}

// one backs a node up.
func (b *backups) one(node uint32) {
	ctx, cancel := context.WithTimeoutCause(b.p.ctx, backupBudget, wire.ErrTimeout)
	defer cancel()
	began := time.Now()
	err := b.p.backUp(ctx, node)
	took := time.Since(began)
	b.mu.Lock()
	b.last = took
	b.mu.Unlock()
	switch {
	case err == nil:
		b.done.Add(1)
	case b.p.ctx.Err() == nil:
		b.failed.Add(1)
		b.p.log.Info("backup not complete", "node", node, "took", took, "err", err)
	}
}

// backUp brings two instances of a node in step: each is given what only the
// other holds. What was copied before an error stays where it is, and counts: the
// next backup copies the rest.
func (p *Proxy) backUp(ctx context.Context, node uint32) error {
	pair, err := p.pool.Pair(ctx, node)
	if err != nil {
		return err
	}
	defer pair.Close()
	defer pair.Claim()
	for _, from := range [...]pool.Side{pool.First, pool.Second} {
		for more := true; more; {
			var delta []holding
			if delta, more, err = p.delta(ctx, pair, node, from); err != nil {
				return err
			}
			if err := p.copyDelta(ctx, pair, from, delta); err != nil {
				return err
			}
		}
	}
	return nil
}

// holding is a chunk of an object that an instance holds.
type holding struct {
	chunk  wire.Chunk
	size   uint32
	record []byte
	key    string
	at     catalog.Place
	read   time.Time // when the object was read last
}

// hottestFirst sorts by when objects were read last.
func hottestFirst(hs []holding) {
	slices.SortStableFunc(hs, func(a, b holding) int { return b.read.Compare(a.read) })
}

// recognize compares what an instance says it holds with the catalog. ok is false
// for a chunk that the catalog does not name there.
func (p *Proxy) recognize(node uint32, h wire.Held) (_ holding, ok bool) {
	var rec wire.Record
	if err := rec.Decode(h.Record); err != nil || rec.Version != h.Chunk.Version {
		p.metrics.falseHoldings.Add(1)
		p.log.Warn("an instance names a chunk with a wrong record", "node", node, "version", h.Chunk.Version)
		return holding{}, false
	}
	at, size, ok := p.catalog.Named(rec.Key, h.Chunk.Version, h.Chunk.Stripe, int(h.Chunk.Index))
	if !ok || at.Node != node {
		return holding{}, false
	}
	if size != int64(h.Size) {
		p.metrics.falseHoldings.Add(1)
		p.log.Warn("an instance names a chunk of a wrong size", "node", node, "key", hashed(rec.Key),
			"size", h.Size, "want", size)
		return holding{}, false
	}
	read, _ := p.catalog.LastRead(rec.Key, h.Chunk.Version)
	return holding{
		chunk: h.Chunk, size: h.Size, record: slices.Clone(h.Record), key: rec.Key, at: at, read: read,
	}, true
}

// delta lists what one side of a pair holds and the other lacks. more tells that
// there is more of it.
func (p *Proxy) delta(ctx context.Context, pair *pool.Pair, node uint32, from pool.Side) (found []holding, more bool, err error) {
	err = pair.List(ctx, from, func(h wire.Held) {
		x, ok := p.recognize(node, h)
		switch {
		case !ok || !pair.Lacks(from, x.at.Instance, x.chunk):
		case len(found) == maxDelta:
			more = true
		default:
			found = append(found, x)
		}
	})
	hottestFirst(found)
	return found, more, err
}

// copyDelta gives the other side the chunks listed. One that is not there any more
// is passed over; anything else that fails ends it.
func (p *Proxy) copyDelta(ctx context.Context, pair *pool.Pair, from pool.Side, delta []holding) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copiesAtOnce)
	for _, h := range delta {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return p.copyOne(ctx, pair, from, h) })
	}
	return g.Wait()
}

func (p *Proxy) copyOne(ctx context.Context, pair *pool.Pair, from pool.Side, h holding) error {
	ctx, cancel := context.WithTimeoutCause(ctx, copyPatience, wire.ErrTimeout)
	defer cancel()
	err := pair.Copy(ctx, from, h.at, h.chunk, h.size, h.record)
	if code := wire.CodeOf(err); code == wire.CodeNotHeld || code == wire.CodeLost {
		return nil
	}
	if err != nil {
		return err
	}
	// It may have been freed, or moved, before the copy was there to be freed, too.
	at, _, ok := p.catalog.Named(h.key, h.chunk.Version, h.chunk.Stripe, int(h.chunk.Index))
	if !ok || at != h.at {
		pair.Discard(from.Other(), h.chunk, pool.Cost(int(h.size), len(h.record)))
		return nil
	}
	p.backups.chunks.Add(1)
	p.backups.bytes.Add(uint64(h.size))
	return nil
}
