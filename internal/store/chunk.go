package store

import (
	"fmt"

	"github.com/infinicache/infinicache/internal/wire"
)

// view is a pinned chunk: it does not move, so that its memory can be used without
// the lock.
type view struct {
	store  *Store
	id     uint32
	head   ref
	size   int
	record int
	done   bool // guarded by store.mu
}

// block is the memory of block i, none if there is no such block.
func (v *view) block(i int) [][]byte {
	from, to := i*wire.BlockSize, min((i+1)*wire.BlockSize, v.size)
	if i < 0 || from >= to {
		return nil
	}
	s := v.store
	cell := s.cell(v.head)
	pieces := make([][]byte, 0, 2)
	last := min(to, v.size/slabSize*slabSize) / slabSize
	for j := from / slabSize; j < last; {
		slab := int(getWord(slabNumber(cell, v.size, j)))
		n := 1
		for j+n < last && int(getWord(slabNumber(cell, v.size, j+n))) == slab+n {
			n++
		}
		at, end := slab*slabSize, (slab+n)*slabSize
		pieces = append(pieces, s.mem[at:end:end])
		j += n
	}
	if to > last*slabSize {
		pieces = s.rest(pieces, v.head, v.size, v.record, to-last*slabSize)
	}
	return pieces
}

// unpin ends a view; the lock is held.
func (v *view) unpin() {
	s := v.store
	v.done = true
	h := s.headerAt(v.head)
	h.pins--
	s.pins--
	if h.pins == 0 && h.state == freed {
		s.drop(v.id)
	}
	if s.closed && s.pins == 0 {
		_ = s.unmap() // munmap of our own mapping cannot fail
	}
}

// Chunk is a chunk being written. It serves one goroutine at a time.
type Chunk struct {
	view
}

// Size is the chunk's length in bytes.
func (c *Chunk) Size() int64 { return int64(c.size) }

// Blocks is the number of blocks.
func (c *Chunk) Blocks() int { return blocks(c.size) }

// Block is the memory of block i, to be written in order: one slice where memory
// allows, else a few. The slices are good until Commit or Abort.
func (c *Chunk) Block(i int) [][]byte { return c.block(i) }

// SetSum keeps the checksum of block i.
func (c *Chunk) SetSum(i int, crc uint32) {
	if i < 0 || i >= blocks(c.size) {
		panic(fmt.Sprintf("store: SetSum of block %d of %d", i, blocks(c.size)))
	}
	putWord(sum(c.store.cell(c.head), i), crc)
}

// Commit makes the chunk visible; every block and checksum must have been set.
// position is the caller's count of changes, this one included: List finds the
// chunk by it. If the chunk was freed meanwhile, or the store closed, the memory is
// given back and the error matches ErrFreed or ErrClosed. The Chunk must not be
// used afterwards, except that Abort does nothing.
func (c *Chunk) Commit(position uint64) error {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.done {
		return ErrFreed
	}
	h := s.headerAt(c.head)
	key, ok := h.key(), h.state == staged
	if ok {
		h.state, h.position = committed, clamp(position)
	}
	closed := s.closed
	c.unpin()
	switch {
	case closed:
		return ErrClosed
	case !ok:
		return fmt.Errorf("%w: %+v", ErrFreed, key)
	}
	return nil
}

// Abort gives up a chunk that was not committed and gives its memory back. It may
// be called at any time, so that it can be deferred.
func (c *Chunk) Abort() {
	s := c.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.done {
		return
	}
	if h := s.headerAt(c.head); h.state == staged {
		s.leave(c.id)
		h.state = freed
	}
	c.unpin()
}

// Handle is an open chunk: what it shows does not change and stays until Close,
// whatever is freed meanwhile. It is safe for concurrent use up to Close.
type Handle struct {
	view
}

// Open pins a committed chunk. The error matches ErrNotHeld or ErrClosed.
func (s *Store) Open(k Key) (*Handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	id, ok := s.find(k)
	if !ok {
		return nil, fmt.Errorf("%w: %+v", ErrNotHeld, k)
	}
	h := s.header(id)
	if h.state != committed {
		return nil, fmt.Errorf("%w: %+v is still being written", ErrNotHeld, k)
	}
	h.pins++
	s.pins++
	return &Handle{view{store: s, id: id, head: s.ids.head(id), size: int(h.size), record: int(h.record)}}, nil
}

// Size is the chunk's length in bytes.
func (h *Handle) Size() int64 { return int64(h.size) }

// Blocks is the number of blocks.
func (h *Handle) Blocks() int { return blocks(h.size) }

// Block is the memory of block i, in order, and its checksum; none if there is no
// such block. The slices are only to be read, and good until Close.
func (h *Handle) Block(i int) (data [][]byte, crc uint32) {
	if data = h.block(i); data == nil {
		return nil, 0
	}
	return data, getWord(sum(h.store.cell(h.head), i))
}

// Record is a copy of the chunk's record.
func (h *Handle) Record() []byte {
	return h.store.recordOf(h.head, h.size, h.record)
}

// Close ends the use of the chunk. It may be called twice.
func (h *Handle) Close() {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	if !h.done {
		h.unpin()
	}
}

func (s *Store) recordOf(head ref, size, n int) []byte {
	record := make([]byte, 0, n)
	for _, piece := range s.rest(nil, head, size, 0, n) {
		record = append(record, piece...)
	}
	return record
}
