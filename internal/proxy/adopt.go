package proxy

import (
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// adoptFor is how long a proxy that adopts collects what its nodes name.
	adoptFor = 20 * time.Second
	// maxAdopted bounds the chunks that it remembers meanwhile.
	maxAdopted = 4 << 20
)

// adoption rebuilds a catalog that was lost with its journal from what the nodes
// name: each chunk comes with the record of its object. It cannot know what was
// deleted, expired early or replaced without a trace, so that an object that was
// made invalid may come back; whoever asks for it has been told.
//
// It is nil where nothing is adopted.
type adoption struct {
	p *Proxy

	mu       sync.Mutex
	over     bool
	chunks   int
	versions map[uint64]*foundling
}

// foundling is a version that nodes hold and the catalog does not know.
type foundling struct {
	rec    wire.Record
	places []catalog.Place
	found  []namedAt
}

type namedAt struct {
	instance wire.Instance
	chunk    wire.Chunk
	node     uint32
	cost     int64
}

// take keeps a chunk in mind; false if it is not to be adopted.
func (a *adoption) take(node uint32, instance wire.Instance, h wire.Held) bool {
	if a == nil {
		return false
	}
	var rec wire.Record
	if rec.Decode(h.Record) != nil || rec.Version != h.Chunk.Version || rec.Size == 0 {
		return false // of a size that was not declared: it cannot be put together
	}
	if rec.Expires != 0 && rec.Expires <= time.Now().UnixMilli() {
		return false
	}
	cut := placement.Stripes{Size: rec.Size, Stripe: rec.Stripe}
	n := int(rec.Data) + int(rec.Parity)
	if int64(h.Chunk.Stripe) >= int64(cut.Count()) || int(h.Chunk.Index) >= n {
		return false
	}
	l := erasure.NewLayout(cut.Len(int(h.Chunk.Stripe)), int(rec.Data), int(rec.Parity))
	if l.Len(int(h.Chunk.Index)) != int(h.Size) {
		a.p.metrics.falseHoldings.Add(1)
		return false
	}
	lot := a.p.pool.LotOf(node, instance)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over || a.chunks >= maxAdopted || lot == 0 {
		return false
	}
	f := a.versions[rec.Version]
	if f == nil {
		f = &foundling{rec: rec, places: make([]catalog.Place, cut.Count()*n)}
		a.versions[rec.Version] = f
	}
	at := &f.places[int(h.Chunk.Stripe)*n+int(h.Chunk.Index)]
	if at.Instance != 0 {
		return false
	}
	*at = catalog.Place{Node: node, Instance: lot}
	f.found = append(f.found, namedAt{instance, h.Chunk, node, pool.Cost(int(h.Size), len(h.Record))})
	a.chunks++
	return true
}

// run wakes every node, and after a while puts the objects together of which
// enough was named; the rest dies.
func (a *adoption) run() {
	for node := range uint32(a.p.pool.Nodes()) {
		a.p.pool.Seek(node)
	}
	select {
	case <-time.After(adoptFor):
	case <-a.p.ctx.Done():
		return
	}
	a.mu.Lock()
	a.over = true
	versions := a.versions
	a.versions = nil
	a.mu.Unlock()

	order := make([]uint64, 0, len(versions))
	for v := range versions {
		order = append(order, v)
	}
	slices.Sort(order)
	slices.Reverse(order) // the newest of a key first: the others are refused
	objects := 0
	for _, v := range order {
		f := versions[v]
		if a.p.catalog.Adopt(f.rec, f.places) == nil {
			objects++
			for _, at := range f.places {
				if at.Instance != 0 {
					a.p.pool.Placed(at)
				}
			}
			continue
		}
		for _, x := range f.found {
			a.p.pool.Discard(x.node, x.instance, x.chunk, x.cost)
		}
	}
	a.p.log.Warn("objects adopted without a journal: some may have been deleted or replaced before",
		"objects", objects, "given up", len(order)-objects)
}
