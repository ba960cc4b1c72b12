package catalog

import (
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/wire"
)

// Place is where a chunk is.
type Place = place.Place

// version is one committed version of an object. Its bucket's lock guards what
// changes; after gone is set nothing does but pins.
type version struct {
	key    string
	hash   uint64
	number uint64
	size   int64
	stripe int64      // bytes of object per stripe
	stored int64      // Unix milliseconds
	seal   *wire.Seal // nil: not sealed

	// expires, in Unix milliseconds, 0 for never, is written with both the
	// bucket's and due's lock held, and read with either.
	expires int64

	// places has Data+Parity entries for each stripe, stripe by stripe.
	places []Place

	// unsafe is nil once a restart would find this version, or none of its key,
	// but never an older one. Until then whoever saw it waits before saying so.
	unsafe wait

	next, prev *version // in the clock's ring; guarded by its lock
	slot       int32    // in due's heap, -1 for none; guarded by its lock

	read         uint32 // Unix seconds when last opened, 0 for never
	pins         int32
	data, parity uint8
	ref          bool // read since the clock's hand last passed
	gone         bool // no longer the current version of its key
}

func (v *version) chunks() int { return int(v.data) + int(v.parity) }

// row is the part of places that is stripe's; nil if there is no such stripe.
func (v *version) row(stripe uint32) []Place {
	n := v.chunks()
	if int64(stripe) >= int64(len(v.places)/n) {
		return nil
	}
	return v.places[int(stripe)*n : (int(stripe)+1)*n : (int(stripe)+1)*n]
}

func (v *version) expired(now time.Time) bool {
	return v.expires != 0 && v.expires <= now.UnixMilli()
}

func (v *version) lastRead() time.Time {
	if v.read == 0 {
		return time.Time{}
	}
	return time.Unix(int64(v.read), 0)
}

func (v *version) record() wire.Record {
	r := wire.Record{
		Key: v.key, Version: v.number, Size: v.size, Data: v.data, Parity: v.parity,
		Stripe: v.stripe, Expires: v.expires, Stored: v.stored,
	}
	if v.seal != nil {
		r.Seal = *v.seal
	}
	return r
}

// sealOf is how a version keeps a seal.
func sealOf(s wire.Seal) *wire.Seal {
	if s == (wire.Seal{}) {
		return nil
	}
	kept := s // so that others cost nothing
	return &kept
}

// checkSeal refuses a sealed version of a size that no sealed form has.
func checkSeal(s wire.Seal, size int64) error {
	if _, ok := seal.Plain(size); s != (wire.Seal{}) && !ok {
		return wire.Errorf(wire.CodeRequest, "a sealed object of %d bytes", size)
	}
	return nil
}

func (v *version) info() object.Info {
	r := v.record()
	i := object.Info{
		Key: v.key, Version: v.number, Size: seal.Size(&r), Stored: time.UnixMilli(v.stored),
		Shape:  object.Shape{Data: int(v.data), Parity: int(v.parity)},
		Stripe: v.stripe,
	}
	if v.expires != 0 {
		i.Expires = time.UnixMilli(v.expires)
	}
	return i
}

// maxExpires is the latest expiry that a wire.Record can carry.
const maxExpires = 1<<62 - 1

// millis turns an expiry into Unix milliseconds, rounded up so that nothing
// expires early; 0 for the zero time, which means never.
func millis(at time.Time) int64 {
	switch {
	case at.IsZero():
		return 0
	case !at.After(time.UnixMilli(1)):
		return 1
	case !at.Before(time.UnixMilli(maxExpires)):
		return maxExpires
	}
	ms := at.UnixMilli()
	if at.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return ms
}

// past tells whether an expiry is already over.
func past(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// layout is how an object is cut: size bytes in stripes, each in data chunks as
// wide as the stripe's length over data, rounded up, and parity chunks of that
// width. The last data chunks of a stripe may be short or empty.
type layout struct {
	size, stripe int64
	data         int
}

func (l layout) stripes() int64 { return (l.size + l.stripe - 1) / l.stripe }

// chunkLen is how many bytes a chunk stores.
func (l layout) chunkLen(stripe uint32, chunk int) int64 {
	n := max(min(l.size-int64(stripe)*l.stripe, l.stripe), 0)
	width := (n + int64(l.data) - 1) / int64(l.data)
	if chunk >= l.data {
		return width
	}
	return max(min(width, n-int64(chunk)*width), 0)
}

// missing counts the chunks of a stripe that hold bytes and have no holder.
func (l layout) missing(stripe uint32, row []Place) int {
	n := 0
	for i, p := range row {
		if p.Instance == 0 && l.chunkLen(stripe, i) > 0 {
			n++
		}
	}
	return n
}

func (v *version) layout() layout {
	return layout{size: v.size, stripe: v.stripe, data: int(v.data)}
}
