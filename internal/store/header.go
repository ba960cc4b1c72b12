package store

import (
	"encoding/binary"
	"unsafe"
)

// header begins the head cell of every chunk. It lies in slab memory, so that a
// chunk takes next to nothing on the Go heap; it holds no Go pointers. All fields
// are guarded by Store.mu, but for key and sizes, which do not change and may be
// read by whoever pins the chunk.
type header struct {
	link
	version    uint64
	stripe     uint32
	size       uint32 // bytes of the chunk
	record     uint32 // bytes of the record
	pins       uint32 // writer and open handles; a pinned chunk does not move
	next, prev uint32 // ids: ring of the version's chunks
	chunk      uint16
	state      state
	anchor     bool   // found in the index by version, not by key
	position   uint32 // of the commit, at most lastPosition; in what was padding
}

// lastPosition stands for itself and all positions beyond.
const lastPosition = 1<<32 - 1

// clamp is a position as headers and lists have it.
func clamp(position uint64) uint32 { return uint32(min(position, lastPosition)) }

const headerSize = int(unsafe.Sizeof(header{}))

// link begins every cell.
type link struct {
	owner uint32 // id of the chunk plus 1; 0 where the cell is free
	cont  uint32 // cell that goes on, plus 1; of a free cell the next free one
}

const linkSize = int(unsafe.Sizeof(link{}))

type state uint8

const (
	staged    state = iota // being written, invisible
	committed              // served
	freed                  // out of the index, memory kept for those who pin it
)

// ref names a cell: slab number and cell within it.
type ref uint32

const (
	cellBits = 10 // 32 KiB in cells of at least 64 bytes
	slabBits = 21 // bit 31 is left to the table of chunks
	maxSlabs = 1 << slabBits
)

func makeRef(slab, cell int) ref { return ref(slab<<cellBits | cell) }

func (r ref) slab() int { return int(r >> cellBits) }
func (r ref) cell() int { return int(r & (1<<cellBits - 1)) }

// cell is the memory of a cell in use.
func (s *Store) cell(r ref) []byte {
	size := classes[s.slabs.info[r.slab()].class].size
	at := r.slab()*slabSize + r.cell()*size
	return s.mem[at : at+size : at+size]
}

func (s *Store) link(r ref) *link {
	return (*link)(unsafe.Pointer(unsafe.SliceData(s.cell(r))))
}

// header is the header of chunk id. The pointer is good until the chunk moves.
func (s *Store) header(id uint32) *header { return s.headerAt(s.ids.head(id)) }

func (s *Store) headerAt(head ref) *header {
	return (*header)(unsafe.Pointer(unsafe.SliceData(s.cell(head))))
}

func (h *header) key() Key { return Key{Version: h.version, Stripe: h.stripe, Chunk: h.chunk} }

func (h *header) cost() int64 { return Cost(int64(h.size), int(h.record)) }

// sum is the place of block i's checksum in a head cell.
func sum(head []byte, i int) []byte { return head[headerSize+4*i:] }

// slabNumber is the place of the number of the chunk's i-th slab in a head cell.
func slabNumber(head []byte, size, i int) []byte {
	return head[headerSize+4*blocks(size)+4*i:]
}

func getWord(b []byte) uint32    { return binary.LittleEndian.Uint32(b) }
func putWord(b []byte, v uint32) { binary.LittleEndian.PutUint32(b, v) }

// rest appends to pieces the memory of the n bytes that follow the first skip
// bytes after the head's checksums and slab numbers: the record, or the tail.
func (s *Store) rest(pieces [][]byte, head ref, size, skip, n int) [][]byte {
	r, from := head, meta(size)
	for n > 0 {
		cell := s.cell(r)[from:]
		if skip >= len(cell) {
			skip -= len(cell)
		} else {
			take := min(len(cell)-skip, n)
			pieces = append(pieces, cell[skip:skip+take:skip+take])
			n -= take
			skip = 0
		}
		r, from = ref(s.link(r).cont-1), linkSize
	}
	return pieces
}
