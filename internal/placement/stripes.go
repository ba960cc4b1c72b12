package placement

import (
	"iter"

	"github.com/infinicache/infinicache/internal/object"
)

const (
	// StripeSize is the length in bytes of the stripes of a large object, or of
	// one whose size is not known when it begins.
	StripeSize = 10 << 20
	// MaxStripe is the largest object that is a single stripe.
	MaxStripe = 16 << 20
	// MaxGroupBytes is how much of one object a node holds before the next
	// stripes go to another group.
	MaxGroupBytes = 64 << 20
)

// StripeLen is the length in bytes of every stripe but the last of an object of
// size bytes, negative if unknown: size itself up to MaxStripe, StripeSize beyond
// it, for an empty object, and where size is unknown. It is never 0.
func StripeLen(size int64) int64 {
	if size < 1 || size > MaxStripe {
		return StripeSize
	}
	return size
}

// Stripes is how an object is cut. Both fields are kept with the object, as
// object.Info has them, so that a change of StripeLen does not move what is
// stored.
type Stripes struct {
	Size   int64 // bytes of the object, 0 or more
	Stripe int64 // bytes of every stripe but the last, 1 or more
}

// Count is the number of stripes. An empty object has none.
func (s Stripes) Count() int {
	return int((s.Size + s.Stripe - 1) / s.Stripe)
}

// Offset is where stripe i begins in the object.
func (s Stripes) Offset(i int) int64 { return int64(i) * s.Stripe }

// Len is the length in bytes of stripe i, 0 if there is no such stripe.
func (s Stripes) Len(i int) int64 {
	if i < 0 {
		return 0
	}
	return max(min(s.Stripe, s.Size-s.Offset(i)), 0)
}

// Part is a piece of a range that lies in one stripe.
type Part struct {
	Stripe int
	Off    int64 // within the stripe
	Len    int64 // 1 or more
}

// Parts yields, in order, the parts that make up n bytes of the object from
// offset off; n < 0 means to the end. What lies outside the object is left out.
func (s Stripes) Parts(off, n int64) iter.Seq[Part] {
	end := s.Size
	if n >= 0 && n < s.Size-off { // not off+n, which may overflow
		end = off + n
	}
	off = max(off, 0)
	return func(yield func(Part) bool) {
		for at := off; at < end; {
			i := int(at / s.Stripe)
			begin := s.Offset(i)
			p := Part{Stripe: i, Off: at - begin, Len: min(end, begin+s.Stripe) - at}
			if !yield(p) {
				return
			}
			at += p.Len
		}
	}
}

// StripesPerGroup is how many consecutive stripes of stripe bytes share one group
// of nodes: as many as keep each node's part of the object within MaxGroupBytes,
// and at least one. Stripe i belongs to group i / StripesPerGroup.
func StripesPerGroup(shape object.Shape, stripe int64) int {
	d := int64(max(shape.Data, 1))
	chunk := max((stripe+d-1)/d, 1)
	return int(max(MaxGroupBytes/chunk, 1))
}
