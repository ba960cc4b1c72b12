package store

import (
	"slices"
	"unsafe"
)

// listRun is how many places of the table of chunks are looked at while the lock
// is held.
const listRun = 1024

// List is the committed chunks that were there when it was made, newest first.
// It serves one goroutine, and holds no lock between calls.
type List struct {
	store *Store
	mem   []byte   // of left
	left  []uint64 // position and id of each chunk to come, the next one last
}

// Item is a committed chunk as a List names it.
type Item struct {
	Key    Key
	Size   int64
	Record []byte // the receiver's own
}

// List lists the chunks that were committed after a position, so that 0 means
// all. Positions above 4 billion are all one: those chunks are always listed, in
// no order among themselves. The error matches ErrClosed, or says that there is
// no memory: a list takes 8 bytes per chunk, off the Go heap. The caller must end
// with Close.
func (s *Store) List(after uint64) (*List, error) {
	s.mu.Lock()
	ids, closed := len(s.ids.at), s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	mem, err := reserve(8 * ids)
	if err != nil {
		return nil, err
	}
	l := &List{store: s, mem: mem}
	l.left = unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mem))), ids)[:0]
	for id, more := uint32(0), true; more; id += listRun {
		if more, err = l.scan(id, clamp(after)); err != nil {
			l.Close()
			return nil, err
		}
	}
	slices.Sort(l.left)
	return l, nil
}

// scan notes the chunks among the next ids, and tells whether there are ids
// beyond them.
func (l *List) scan(id, after uint32) (more bool, err error) {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, ErrClosed
	}
	end := min(id+listRun, s.ids.top)
	for ; id < end; id++ {
		if !s.ids.inUse(id) {
			continue
		}
		h := s.header(id)
		if h.state == committed && (h.position > after || h.position == lastPosition) {
			l.left = append(l.left, uint64(h.position)<<32|uint64(id))
		}
	}
	return end < s.ids.top, nil
}

// Next is the next chunk of the list, and ok is false after the last. A chunk
// that was held from the making of the list up to here is named once; one that
// was freed since is not. The error matches ErrClosed.
func (l *List) Next() (item Item, ok bool, err error) {
	for len(l.left) > 0 && !ok && err == nil {
		last := len(l.left) - 1
		item, ok, err = l.store.itemAt(l.left[last])
		l.left = l.left[:last]
	}
	return item, ok, err
}

// Close gives the list's memory back. It may be called twice.
func (l *List) Close() {
	_ = unmap(l.mem) // munmap of our own mapping cannot fail
	l.mem, l.left = nil, nil
}

// itemAt is the chunk that a list noted, if it is still there.
func (s *Store) itemAt(noted uint64) (item Item, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Item{}, false, ErrClosed
	}
	id := uint32(noted)
	if id >= s.ids.top || !s.ids.inUse(id) {
		return Item{}, false, nil
	}
	h := s.header(id)
	if h.state != committed || h.position != uint32(noted>>32) {
		return Item{}, false, nil // another chunk has its id now
	}
	size, record := int(h.size), int(h.record)
	return Item{h.key(), int64(size), s.recordOf(s.ids.head(id), size, record)}, true, nil
}
