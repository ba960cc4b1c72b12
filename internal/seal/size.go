package seal

import "github.com/infinicache/infinicache/internal/wire"

const (
	// Segment is the bytes of a sealed segment but the last. It divides
	// wire.BlockSize, so that segments of large objects lie within blocks.
	Segment = 64 << 10
	// Overhead is what sealing adds to a segment.
	Overhead = 16
	// payload is what a segment holds.
	payload = Segment - Overhead
)

// segments is how many an object of size bytes has.
func segments(size int64) int64 { return max((size+payload-1)/payload, 1) }

// Sealed is how many bytes the sealed form of size bytes has.
func Sealed(size int64) int64 { return size + segments(size)*Overhead }

// Plain is how many bytes a sealed form was made of; false if none has that size.
func Plain(sealed int64) (size int64, ok bool) {
	size = Most(sealed)
	return size, sealed >= Overhead && Sealed(size) == sealed
}

// Most is how many bytes an object may have whose sealed form has limit bytes at
// most; 0 where there is none.
func Most(limit int64) int64 {
	return max(limit, 0)/Segment*payload + max(max(limit, 0)%Segment-Overhead, 0)
}

// Size is how many bytes an object has for those who store and read it. It is 0
// for a sealed one of an impossible size, which nobody can open.
func Size(r *wire.Record) int64 {
	if r.Seal == (wire.Seal{}) {
		return r.Size
	}
	if size, ok := Plain(r.Size); ok {
		return size
	}
	return 0
}
