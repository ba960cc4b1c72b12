package node

import (
	"encoding/binary"

	"github.com/infinicache/infinicache/internal/wire"
)

// history sums up the changes that an instance made to its chunks, so that a
// proxy that took part in all of them recognizes the result in a hello.
//
// A change is an operation (1 stored, 2 freed, 3 everything freed) and a chunk,
// encoded as operation, version, stripe and index, little-endian, in 15 bytes.
// A stripe of wire.WholeVersion stands for all chunks of the version. Frees that
// found nothing are no change.
type history struct {
	position uint64 // how many changes
	digest   uint64 // FNV-1a, 64 bits, over their encodings
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func newHistory() history { return history{digest: fnvOffset} }

func (h *history) stored(c wire.Chunk) { h.add(1, c) }
func (h *history) freed(c wire.Chunk)  { h.add(2, c) }
func (h *history) emptied()            { h.add(3, wire.Chunk{}) }

func (h *history) add(op byte, c wire.Chunk) {
	var b [15]byte
	b[0] = op
	binary.LittleEndian.PutUint64(b[1:], c.Version)
	binary.LittleEndian.PutUint32(b[9:], c.Stripe)
	binary.LittleEndian.PutUint16(b[13:], c.Index)
	for _, v := range b {
		h.digest = (h.digest ^ uint64(v)) * fnvPrime
	}
	h.position++
}
