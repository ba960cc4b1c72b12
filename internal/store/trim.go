package store

import "fmt"

const (
	// trimRun is the most slabs that are given back while the lock is held: 8 MiB.
	trimRun = 256
	// trimSlack is how many slabs may be wasted by half-empty ones before Trim moves
	// cells together: 1 MiB.
	trimSlack = 32
)

// Trim gives memory that no chunk uses back to the system: it moves small pieces
// together where much is wasted between them, and then releases all free slabs.
// It is for quiet moments, as before a node sleeps; memory that is used again
// costs a page fault for each page.
func (s *Store) Trim() error {
	for s.trimCells() {
	}
	for slab := 0; ; {
		next, more, err := s.trimSlabs(slab)
		if err != nil {
			return fmt.Errorf("trim: %w", err)
		}
		if !more {
			break
		}
		slab = next
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	if err := s.shrinkIndex(); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	if s.ids.live == 0 {
		return giveBack(s.ids.mem)
	}
	return nil
}

// trimCells frees one slab if that is worth while, and tells whether there may be
// more to do.
func (s *Store) trimCells() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	wasted := 0
	for c := range s.shelves {
		wasted += s.shelves[c].spare / classes[c].cells
	}
	if wasted <= max(trimSlack, (s.slabs.total-s.slabs.free)/32) {
		return false
	}
	return s.squeeze()
}

// trimSlabs gives back one run of free slabs from slab on.
func (s *Store) trimSlabs(slab int) (next int, more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false, nil
	}
	start, n := s.slabs.cleanRun(slab, trimRun)
	if n == 0 {
		return 0, false, nil
	}
	return start + n, true, giveBack(s.mem[start*slabSize : (start+n)*slabSize])
}
