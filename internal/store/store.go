// Package store keeps a node's chunks in reused memory outside the Go heap.
//
// The reservation is cut into slabs of 32 KiB. The bytes of a chunk lie in whole
// slabs, neighbours where possible, and its end, with the record and a header, in
// cells that share slabs with other chunks'. Any free slab serves any purpose and
// cells can be moved together, so a chunk whose Cost fits is not refused for
// fragmentation. Memory of freed chunks is kept for the next ones until Trim gives
// it back to the system.
package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// MaxSize is the largest chunk in bytes.
	MaxSize = wire.MaxChunkSize
	// MaxRecord is the longest record in bytes.
	MaxRecord = wire.MaxMeta
	// MinCapacity is the smallest capacity in bytes that New accepts.
	MinCapacity = 1 << 20
	// MaxCapacity is the largest.
	MaxCapacity = maxSlabs * slabSize
)

var (
	// ErrFull: the chunk does not fit, or would fit only if pinned chunks could be
	// moved. Nothing was changed.
	ErrFull = errors.New("store is full")
	// ErrExists: the key is stored or staged already.
	ErrExists = errors.New("chunk exists")
	// ErrNotHeld: no such chunk is committed.
	ErrNotHeld = errors.New("chunk not held")
	// ErrFreed: the chunk was freed before its commit.
	ErrFreed = errors.New("chunk freed before commit")
	// ErrSize: a chunk, record or capacity is outside the limits.
	ErrSize = errors.New("size not allowed")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Key names a chunk.
type Key struct {
	Version uint64
	Stripe  uint32
	Chunk   uint16
}

// Store holds chunks. It is safe for concurrent use, and holds no lock while
// callers read or write chunks.
type Store struct {
	capacity int64 // for chunks

	mu      sync.Mutex
	mem     []byte // slabs.total slabs
	slabs   slabs
	shelves []shelf // by class
	ids     ids
	index   index
	used    int64
	pins    int // of all chunks
	closed  bool
}

// New reserves a store that takes at most capacity bytes of memory, between
// MinCapacity and MaxCapacity, rounded down to whole slabs. Memory becomes resident
// as it is written. On the Go heap the store keeps about 1/2000 of capacity.
//
// Up to 1/8 of capacity, 2 MiB at most, is set aside for slabs that are not filled
// up: Capacity says what is left for chunks.
func New(capacity int64) (*Store, error) {
	if capacity < MinCapacity || capacity > MaxCapacity {
		return nil, fmt.Errorf("%w: capacity %d, want %d to %d bytes", ErrSize, capacity, int64(MinCapacity), int64(MaxCapacity))
	}
	total := int(capacity / slabSize)
	s := &Store{
		// Each class leaves one slab partly empty when its cells are moved together.
		capacity: int64(total-min(len(classes), total/8)) * slabSize,
		slabs:    newSlabs(total),
		shelves:  make([]shelf, len(classes)),
	}
	var err, err2, err3 error
	s.mem, err = reserve(total * slabSize)
	s.ids.words, err2 = reserveWords(int(s.capacity / Cost(0, 0)))
	s.index.table, err3 = reserveWords(minTable)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, errors.Join(err, s.unmap())
	}
	return s, nil
}

func (s *Store) unmap() error {
	err := errors.Join(unmap(s.mem), unmap(s.ids.mem), unmap(s.index.table.mem))
	s.mem, s.ids.words, s.index.table = nil, words{}, words{}
	return err
}

// Close gives all memory back, at once or, if chunks are open, with the last of
// them. Every later call gives ErrClosed or nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.pins > 0 {
		return nil
	}
	return s.unmap()
}

// Capacity is the most that Used can be, in bytes.
func (s *Store) Capacity() int64 { return s.capacity }

// Used is the sum of the Cost of all chunks, in bytes: staged, committed, and
// freed ones that are still open.
func (s *Store) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Len is the number of chunks that Used counts.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids.live
}

// Create stages a chunk of size bytes: its memory is taken, its bytes are
// undefined until the caller writes them, and nobody sees it until Commit. The
// caller must end with Commit or Abort. record is an opaque description kept with
// the chunk; it is copied.
//
// The error matches ErrFull, ErrExists, ErrSize or ErrClosed.
func (s *Store) Create(k Key, size int64, record []byte) (*Chunk, error) {
	if size < 0 || size > MaxSize || len(record) > MaxRecord {
		return nil, fmt.Errorf("%w: chunk of %d bytes with a record of %d, want at most %d and %d",
			ErrSize, size, len(record), int64(MaxSize), MaxRecord)
	}
	var cells [maxCells]uint8
	p := planFor(int(size), len(record), cells[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if _, ok := s.find(k); ok {
		return nil, fmt.Errorf("%w: %+v", ErrExists, k)
	}
	cost := p.cost()
	if s.used+cost > s.capacity {
		return nil, fmt.Errorf("%w: %d bytes wanted, %d of %d used", ErrFull, cost, s.used, s.capacity)
	}
	if err := s.growIndex(); err != nil {
		return nil, err
	}
	id, ok := s.ids.take()
	if !ok {
		return nil, fmt.Errorf("%w: no more than %d chunks", ErrFull, len(s.ids.at))
	}
	head, ok := s.lay(p, id, int(size))
	if !ok {
		s.ids.put(id)
		return nil, fmt.Errorf("%w: %d bytes wanted, %d of %d used, the rest is held by open chunks", ErrFull, cost, s.used, s.capacity)
	}
	h := s.headerAt(head)
	*h = header{
		link:    h.link,
		version: k.Version, stripe: k.Stripe, chunk: k.Chunk,
		size: uint32(size), record: uint32(len(record)),
		pins: 1, state: staged,
	}
	s.ids.setHead(id, head)
	s.enter(id)
	s.used += cost
	s.pins++
	c := &Chunk{view: view{store: s, id: id, head: head, size: int(size), record: len(record)}}
	for _, piece := range s.rest(nil, head, int(size), 0, len(record)) {
		record = record[copy(piece, record):]
	}
	return c, nil
}

// lay takes the memory of a plan for chunk id, joins its cells and notes its slabs
// in the head. If there is not enough it takes nothing.
func (s *Store) lay(p plan, id uint32, size int) (head ref, ok bool) {
	for s.slabs.free < p.slabs {
		if !s.squeeze() {
			return 0, false
		}
	}
	var refs [maxCells]ref
	for i, c := range p.cells {
		r, ok := s.takeCell(c, id)
		if ok && s.slabs.free < p.slabs && !s.squeeze() {
			s.putCell(r)
			ok = false
		}
		if !ok {
			for _, r := range refs[:i] {
				s.putCell(r)
			}
			return 0, false
		}
		refs[i] = r
	}
	for i := 1; i < len(p.cells); i++ {
		s.link(refs[i-1]).cont = uint32(refs[i]) + 1
	}
	head = refs[0]
	cell := s.cell(head)
	for i := 0; i < p.slabs; {
		// A run ends with its block: what matters is that each block is in one piece.
		start, n := s.slabs.takeRun(min(slabsPerBlock-i%slabsPerBlock, p.slabs-i))
		for j := range n {
			putWord(slabNumber(cell, size, i+j), uint32(start+j))
		}
		i += n
	}
	return head, true
}

// drop gives the memory of a chunk back, which is in the index no more.
func (s *Store) drop(id uint32) {
	head := s.ids.head(id)
	h, cell := s.headerAt(head), s.cell(head)
	s.used -= h.cost()
	for i := range int(h.size) / slabSize {
		s.slabs.put(int(getWord(slabNumber(cell, int(h.size), i))))
	}
	for at := uint32(head) + 1; at != 0; {
		r := ref(at - 1)
		at = s.link(r).cont
		s.putCell(r)
	}
	s.ids.put(id)
}

// Free frees all chunks of a version, staged ones included, and says how many
// they were and the sum of their Cost. The memory of those that are open is kept,
// and counted as used, until the last is closed.
func (s *Store) Free(version uint64) (bytes int64, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, 0
	}
	for {
		id, ok := s.findVersion(version)
		if !ok {
			return bytes, n
		}
		bytes += s.free(id)
		n++
	}
}

// FreeChunk frees one chunk as Free does and returns its Cost, or 0 if there is no
// such chunk.
func (s *Store) FreeChunk(k Key) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0
	}
	id, ok := s.find(k)
	if !ok {
		return 0
	}
	return s.free(id)
}

func (s *Store) free(id uint32) int64 {
	s.leave(id)
	h := s.header(id)
	cost := h.cost()
	h.state = freed
	if h.pins == 0 {
		s.drop(id)
	}
	return cost
}
