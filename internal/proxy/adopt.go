package proxy

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/seal"
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

// foundling is a version that nodes hold and the catalog does not know. What it
// needs grows with what was named, whatever its record says of its size.
type foundling struct {
	rec    wire.Record
	chunks map[wire.Chunk]found
}

// found is where a chunk was named first.
type found struct {
	at       catalog.Place
	instance wire.Instance
	cost     int64
}

// take keeps a chunk in mind; false if it is not to be adopted.
func (a *adoption) take(node uint32, instance wire.Instance, h wire.Held) bool {
	if a == nil {
		return false
	}
	var rec wire.Record
	if rec.Decode(h.Record) != nil || rec.Version != h.Chunk.Version || seal.Size(&rec) == 0 {
		return false // of a size that was not declared: it cannot be put together
	}
	if a.p.key != nil && rec.Seal == (wire.Seal{}) {
		return false // anybody could have made it
	}
	if rec.Expires != 0 && rec.Expires <= time.Now().UnixMilli() {
		return false
	}
	if sizeOf(rec, h.Chunk) != int64(h.Size) {
		a.p.metrics.falseHoldings.Add(1)
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over || a.chunks >= maxAdopted {
		return false
	}
	f := a.versions[rec.Version]
	if f == nil {
		f = &foundling{rec: rec, chunks: map[wire.Chunk]found{}}
		a.versions[rec.Version] = f
	}
	if !alike(rec, f.rec) {
		a.p.metrics.falseHoldings.Add(1)
		return false
	}
	if first, ok := f.chunks[h.Chunk]; ok {
		return first.instance == instance // heard again
	}
	at, ok := a.p.pool.Adopted(node, instance)
	if !ok {
		return false
	}
	f.chunks[h.Chunk] = found{at, instance, pool.Cost(int(h.Size), len(h.Record))}
	a.chunks++
	return true
}

// sizeOf is how many bytes a chunk of an object has; -1 if it has no such chunk.
func sizeOf(rec wire.Record, c wire.Chunk) int64 {
	cut := placement.Stripes{Size: rec.Size, Stripe: rec.Stripe}
	if int64(c.Stripe) >= int64(cut.Count()) || int(c.Index) >= int(rec.Data)+int(rec.Parity) {
		return -1
	}
	l := erasure.NewLayout(cut.Len(int(c.Stripe)), int(rec.Data), int(rec.Parity))
	if n := l.Len(int(c.Index)); n > 0 {
		return int64(n)
	}
	return -1
}

// alike tells whether two records can be those of two chunks of one version.
func alike(a, b wire.Record) bool {
	a.Expires, a.Stored = b.Expires, b.Stored
	return a == b
}

// places lists where the chunks are, stripe by stripe; nil if they are too few for
// the object to be whole.
func (f *foundling) places() []catalog.Place {
	cut := placement.Stripes{Size: f.rec.Size, Stripe: f.rec.Stripe}
	if len(f.chunks) < cut.Count() {
		return nil
	}
	n := int(f.rec.Data) + int(f.rec.Parity)
	places := make([]catalog.Place, cut.Count()*n)
	for c, x := range f.chunks {
		places[int(c.Stripe)*n+int(c.Index)] = x.at
	}
	return places
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

	order := slices.Sorted(maps.Keys(versions))
	slices.Reverse(order) // the newest of a key first: the others are refused
	objects := 0
	for _, v := range order {
		if a.settle(versions[v]) {
			objects++
		}
	}
	if j := a.p.journal; j != nil {
		if err := j.SetInfo(map[string]string{adopting: ""}); err != nil {
			a.p.log.Warn("the journal does not know yet that adoption is over", "err", err)
		}
	}
	a.p.log.Warn("objects adopted without a journal: some may have been deleted or replaced before",
		"objects", objects, "given up", len(order)-objects)
}

// settle adopts an object, or has its chunks die.
func (a *adoption) settle(f *foundling) bool {
	places := f.places()
	if places != nil && a.p.catalog.Adopt(f.rec, places) == nil {
		return true
	}
	for c, x := range f.chunks {
		a.p.pool.Free(x.at, c, x.cost)
	}
	return false
}
