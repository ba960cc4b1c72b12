package store

import "math/bits"

// slabs hands out the slabs of the reservation: whole ones from its low end, in
// runs as long as possible, and slabs for cells from its high end, so that the two
// do not break up each other's runs. Guarded by Store.mu.
type slabs struct {
	total int
	free  int      // slabs in no use
	open  []uint64 // bit set: in no use
	dirty []uint64 // bit set: may be resident though in no use
	info  []slabInfo
}

// slabInfo describes a slab that is cut into cells.
type slabInfo struct {
	class uint8
	used  uint16 // cells in use
	fresh uint16 // cells from here on were never used since the slab was cut
	free  uint16 // first of the list of freed cells, plus 1
	place int32  // in the class's list of slabs with free cells
}

func newSlabs(total int) slabs {
	n := (total + 63) / 64
	s := slabs{total: total, free: total, open: make([]uint64, n), dirty: make([]uint64, n), info: make([]slabInfo, total)}
	for i := range total {
		s.open[i/64] |= 1 << (i % 64)
	}
	return s
}

// takeRun takes the first run of n slabs, or, if there is none, the longest that
// there is. length is 0 only if no slab is free.
func (s *slabs) takeRun(n int) (start, length int) {
	for i := s.nextOpen(0); i < s.total; {
		end := i + 1
		for end < i+n && end < s.total && s.isOpen(end) {
			end++
		}
		if end-i > length {
			start, length = i, end-i
		}
		if length == n {
			break
		}
		i = s.nextOpen(end)
	}
	for i := start; i < start+length; i++ {
		s.take(i)
	}
	return start, length
}

// takeHigh takes the highest free slab.
func (s *slabs) takeHigh() (slab int, ok bool) {
	for w := len(s.open) - 1; w >= 0; w-- {
		if s.open[w] != 0 {
			slab = w*64 + 63 - bits.LeadingZeros64(s.open[w])
			s.take(slab)
			return slab, true
		}
	}
	return 0, false
}

func (s *slabs) isOpen(i int) bool { return s.open[i/64]&(1<<(i%64)) != 0 }

// nextOpen is the first free slab at or after i, or total.
func (s *slabs) nextOpen(i int) int { return nextSet(s.open, i, s.total) }

func nextSet(set []uint64, i, end int) int {
	for i < end {
		if w := set[i/64] >> (i % 64); w != 0 {
			return i + bits.TrailingZeros64(w)
		}
		i = (i/64 + 1) * 64
	}
	return end
}

func (s *slabs) take(i int) {
	s.open[i/64] &^= 1 << (i % 64)
	s.dirty[i/64] |= 1 << (i % 64)
	s.free--
}

func (s *slabs) put(i int) {
	s.open[i/64] |= 1 << (i % 64)
	s.free++
}

// cleanRun forgets that a run of free slabs, the first at or after i and at most
// n long, is resident: the caller gives its memory back. length is 0 at the end.
func (s *slabs) cleanRun(i, n int) (start, length int) {
	for i = nextSet(s.dirty, i, s.total); i < s.total && !s.isOpen(i); {
		i = nextSet(s.dirty, i+1, s.total)
	}
	start = i
	for i < s.total && i < start+n && s.isOpen(i) && s.dirty[i/64]&(1<<(i%64)) != 0 {
		s.dirty[i/64] &^= 1 << (i % 64)
		i++
	}
	return start, i - start
}
