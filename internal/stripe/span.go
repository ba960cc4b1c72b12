package stripe

import (
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/wire"
)

// span is what is read as one: the columns, whole blocks from to to-1, of the
// data chunks first to last-1 of a stripe. These bytes are consecutive in the
// object; n of them, after the first skip, are wanted. A degraded read of a span
// reads the same columns of other chunks.
//
// With more than one chunk the columns are all the stripe has.
type span struct {
	stripe      uint32
	layout      erasure.Layout
	first, last int
	from, to    uint32
	skip, n     int
}

// spanAt cuts the first span from the object's bytes pos to end-1. A stripe's
// part of a range is at most three: the end of a chunk, whole chunks, the
// beginning of a chunk.
func (r *Reader) spanAt(pos, end int64) span {
	index := pos / r.rec.Stripe
	begin := index * r.rec.Stripe
	length := min(r.rec.Stripe, r.rec.Size-begin)
	s := span{stripe: uint32(index), layout: erasure.NewLayout(length, int(r.rec.Data), int(r.rec.Parity))}
	lo, hi := pos-begin, min(end-begin, length)

	width := int64(s.layout.ChunkSize())
	s.first, s.last = int(lo/width), int((hi-1)/width)+1
	column := lo % width // of the first byte
	s.from = uint32(column / wire.BlockSize)
	s.skip = int(column % wire.BlockSize)
	s.to = blocksOf(width)
	if s.last-s.first > 1 && s.from > 0 {
		s.last = s.first + 1
		hi = s.layout.Offset(s.last)
	}
	tail := hi - s.layout.Offset(s.last-1) // columns wanted of the last chunk
	if to := blocksOf(tail); to < s.to && tail < int64(s.layout.Len(s.last-1)) {
		if s.last-s.first == 1 {
			s.to = to
		} else { // the last chunk's beginning is a span of its own
			s.last--
			hi = s.layout.Offset(s.last)
		}
	}
	s.n = int(hi - lo)
	return s
}

// blocksOf is how many blocks bytes need.
func blocksOf(bytes int64) uint32 {
	return uint32((bytes + wire.BlockSize - 1) / wire.BlockSize)
}

// end is the block after the last that chunk has in the span's columns; it is
// from or less if there is none.
func (s *span) end(chunk int) uint32 {
	return min(s.to, uint32(s.layout.Blocks(chunk, wire.BlockSize)))
}

// blockLen is the length of a block that the chunk has.
func (s *span) blockLen(chunk int, block uint32) int {
	return min(s.layout.Len(chunk)-int(block)*wire.BlockSize, wire.BlockSize)
}

// size is how many bytes chunk has in the span's columns.
func (s *span) size(chunk int) int {
	return s.layout.LenIn(chunk, int(s.from)*wire.BlockSize, int(s.to)*wire.BlockSize)
}

// bytes is the length of the span.
func (s *span) bytes() int {
	if s.last-s.first == 1 {
		return s.size(s.first)
	}
	return int(s.layout.Offset(s.last) - s.layout.Offset(s.first))
}

// at is where a block of one of the span's own chunks begins in the span.
func (s *span) at(chunk int, block uint32) int {
	return (chunk-s.first)*s.layout.ChunkSize() + int(block-s.from)*wire.BlockSize
}

// wants tells whether chunk is one of the span's own.
func (s *span) wants(chunk int) bool { return chunk >= s.first && chunk < s.last }

// whole tells whether the span has all data of the stripe's columns, so that
// nothing is read for a reconstruction that is not wanted anyway.
func (s *span) whole() bool {
	for i := range s.layout.Data() {
		if !s.wants(i) && s.end(i) > s.from {
			return false
		}
	}
	return true
}
