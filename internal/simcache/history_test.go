package simcache

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
)

// history is what was written to the keys of a workload, and when: it judges
// whether what a read returned may have been current.
type history struct {
	mu     sync.Mutex
	clock  int64 // rises with everything that begins or ends
	writes map[string][]*write
	byID   map[uint32]*write
}

// write is a put, or a delete, of a key.
type write struct {
	id         uint32
	size       int // -1: a delete
	begun, end int64
}

func newHistory() *history {
	return &history{writes: map[string][]*write{}, byID: map[uint32]*write{}}
}

func (h *history) now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// begin notes a write. Until acknowledged tells that it succeeded, it may or may
// not take effect, at any time.
func (h *history) begin(key string, size int) *write {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	w := &write{id: uint32(len(h.byID) + 1), size: size, begun: h.clock, end: math.MaxInt64}
	h.byID[w.id] = w
	h.writes[key] = append(h.writes[key], w)
	return w
}

func (h *history) acknowledged(w *write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	w.end = h.clock
}

// body is the value of a write: words of its number and their position, so that
// any part of it tells whose it is.
func (w *write) body() []byte {
	b := make([]byte, (w.size+7)/8*8)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint32(b[i:], w.id)
		binary.LittleEndian.PutUint32(b[i+4:], uint32(i))
	}
	return b[:w.size]
}

// judge says what is wrong with got, read from offset off on, a multiple of 8, of
// a key, by a read that asked for n bytes (-1: all) and began at an instant.
func (h *history) judge(key string, off, n int, began int64, got []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(got) < 8 {
		return fmt.Errorf("%d bytes, no value is so short", len(got))
	}
	v := h.byID[binary.LittleEndian.Uint32(got)]
	if v == nil || v.size < 0 {
		return fmt.Errorf("a value that nobody wrote")
	}
	want := v.body()[min(off, v.size):]
	if n >= 0 && n < len(want) {
		want = want[:n]
	}
	if string(want) != string(got) {
		return fmt.Errorf("%d bytes from %d on that are not those of write %d of %d bytes", len(got), off, v.id, v.size)
	}
	mine := false
	for _, w := range h.writes[key] {
		mine = mine || w == v
		if w.begun > v.end && w.end < began {
			return fmt.Errorf("write %d, after which write %d was acknowledged before the read began", v.id, w.id)
		}
	}
	if !mine {
		return fmt.Errorf("write %d, which is of another key", v.id)
	}
	return nil
}
