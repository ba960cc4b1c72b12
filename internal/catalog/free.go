package catalog

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Freed are the chunks of one version that neither a name nor a pin needs any
// more. They belong to whoever receives it.
type Freed struct {
	// Record is the version they are of. Of a version that was never committed,
	// Size is what SetSize declared, or 0.
	Record wire.Record
	// Chunks are those that an instance holds, in order; chunks that nobody is
	// known to hold, and empty ones, are left out.
	Chunks []FreedChunk
}

// FreedChunk is one chunk to be freed where it is.
type FreedChunk struct {
	Place
	Stripe uint32
	Chunk  uint16
	// Size is the chunk's length in bytes; if the version was given up before
	// its size was known, that of a chunk of a full stripe.
	Size int64
}

// detach takes the name from a current version, whose bucket is locked. The key
// is a miss with this cause from now on; CauseUnexplained leaves the cause to a
// successor. If nobody pins the version it is added to freed, which the caller
// hands to free once nothing is locked.
func (c *Catalog) detach(b *bucket, v *version, cause wire.Cause, freed *[]*version) {
	delete(b.objects, v.key)
	c.clock.remove(v)
	c.due.remove(v)
	c.objects.Add(-1)
	c.bytes.Add(-v.size)
	if cause != wire.CauseUnexplained {
		c.haunt(b, v.hash, cause)
	}
	v.gone = true
	if v.pins == 0 {
		*freed = append(*freed, v)
		return
	}
	c.detached.Add(1)
	c.detachedBytes.Add(v.size)
}

// current finds the current version of a key in its bucket, which is locked; nil
// if there is none. It detaches one that is expired.
func (c *Catalog) current(b *bucket, key string, now time.Time, freed *[]*version) *version {
	v := b.objects[key]
	if v != nil && v.expired(now) {
		c.remove(b, v, wire.CauseExpired, freed)
		return nil
	}
	return v
}

// free delivers versions that nobody needs. Nothing is locked: they do not
// change any more.
func (c *Catalog) free(versions []*version) {
	if c.onFree == nil {
		return
	}
	for _, v := range versions {
		f := Freed{Record: v.record()}
		l, n := v.layout(), v.chunks()
		for i, p := range v.places {
			f.add(l, uint32(i/n), i%n, p)
		}
		c.onFree(f)
	}
}

func (f *Freed) add(l layout, stripe uint32, chunk int, p Place) {
	size := l.chunkLen(stripe, chunk)
	if p.Instance == 0 || size == 0 {
		return
	}
	f.Chunks = append(f.Chunks, FreedChunk{Place: p, Stripe: stripe, Chunk: uint16(chunk), Size: size})
}
