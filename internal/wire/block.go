package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// Block is the metadata of a BLOCK frame: which block it is, and the checksum
// over that and its bytes.
type Block struct {
	Stripe uint32
	Chunk  uint16
	Index  uint32 // of the block within its chunk
	Sum    uint32 // Checksum of identity and bytes
}

// Put writes the metadata into b, which has at least BlockMetaSize bytes.
func (k Block) Put(b []byte) {
	_ = b[BlockMetaSize-1]
	binary.LittleEndian.PutUint32(b[0:], k.Stripe)
	binary.LittleEndian.PutUint16(b[4:], k.Chunk)
	binary.LittleEndian.PutUint16(b[6:], 0)
	binary.LittleEndian.PutUint32(b[8:], k.Index)
	binary.LittleEndian.PutUint32(b[12:], k.Sum)
}

// ParseBlock reads the metadata of a BLOCK frame, BlockMetaSize bytes.
func ParseBlock(b []byte) (Block, error) {
	_ = b[BlockMetaSize-1]
	if b[6] != 0 || b[7] != 0 {
		return Block{}, Errorf(CodeProtocol, "BLOCK: reserved bytes are not 0")
	}
	return Block{
		Stripe: binary.LittleEndian.Uint32(b[0:]),
		Chunk:  binary.LittleEndian.Uint16(b[4:]),
		Index:  binary.LittleEndian.Uint32(b[8:]),
		Sum:    binary.LittleEndian.Uint32(b[12:]),
	}, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of a block: over the version, stripe, chunk and block
// number it was made for and then over its bytes, so that a block that is
// intact but is another block fails as a damaged one does.
func Checksum(version uint64, stripe uint32, chunk uint16, index uint32, data []byte) uint32 {
	// The identity goes through the table byte by byte: a slice of it given to
	// crc32 would have to be on the heap.
	crc := ^uint32(0)
	crc = sum64(crc, version, 8)
	crc = sum64(crc, uint64(stripe), 4)
	crc = sum64(crc, uint64(chunk), 2)
	crc = sum64(crc, uint64(index), 4)
	return crc32.Update(^crc, castagnoli, data)
}

// sum64 adds the lowest n bytes of v, lowest first, to an inverted checksum.
func sum64(crc uint32, v uint64, n int) uint32 {
	for range n {
		crc = castagnoli[byte(crc)^byte(v)] ^ crc>>8
		v >>= 8
	}
	return crc
}
