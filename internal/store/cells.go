package store

// shelf is the state of one class of cells. Guarded by Store.mu.
type shelf struct {
	partial []uint32 // slabs of the class that have free cells, in no order
	spare   int      // free cells in them
}

// takeCell takes a cell of class c for chunk id. It moves other chunks' cells
// together if it needs a slab and none is free; ok is false if that does not help.
func (s *Store) takeCell(c uint8, id uint32) (r ref, ok bool) {
	sh := &s.shelves[c]
	if len(sh.partial) == 0 {
		slab, ok := s.slabs.takeHigh()
		for !ok {
			if !s.squeeze() {
				return 0, false
			}
			if len(sh.partial) > 0 {
				return s.takeCell(c, id)
			}
			slab, ok = s.slabs.takeHigh()
		}
		s.slabs.info[slab] = slabInfo{class: c}
		s.shelve(slab)
		sh.spare += classes[c].cells
	}
	slab := int(sh.partial[len(sh.partial)-1])
	info := &s.slabs.info[slab]
	if info.free != 0 {
		r = makeRef(slab, int(info.free-1))
		info.free = uint16(s.link(r).cont)
	} else {
		r = makeRef(slab, int(info.fresh))
		info.fresh++
	}
	info.used++
	sh.spare--
	if int(info.used) == classes[c].cells {
		s.unshelve(slab)
	}
	*s.link(r) = link{owner: id + 1}
	return r, true
}

// putCell frees a cell, and its slab with the last of its cells.
func (s *Store) putCell(r ref) {
	slab := r.slab()
	info := &s.slabs.info[slab]
	cells := classes[info.class].cells
	sh := &s.shelves[info.class]
	if int(info.used) == cells {
		s.shelve(slab)
	}
	*s.link(r) = link{cont: uint32(info.free)}
	info.free = uint16(r.cell() + 1)
	info.used--
	sh.spare++
	if info.used == 0 {
		s.unshelve(slab)
		sh.spare -= cells
		s.slabs.put(slab)
	}
}

// shelve puts a slab on its class's list of those with free cells.
func (s *Store) shelve(slab int) {
	info := &s.slabs.info[slab]
	sh := &s.shelves[info.class]
	info.place = int32(len(sh.partial))
	sh.partial = append(sh.partial, uint32(slab))
}

func (s *Store) unshelve(slab int) {
	info := &s.slabs.info[slab]
	sh := &s.shelves[info.class]
	last := len(sh.partial) - 1
	moved := sh.partial[last]
	sh.partial[info.place] = moved
	s.slabs.info[moved].place = info.place
	sh.partial = sh.partial[:last]
}

// squeeze frees one slab by moving the cells of a sparse one into other slabs of
// its class. Cells of pinned chunks do not move. It reports whether it freed one.
func (s *Store) squeeze() bool {
	for c := range s.shelves {
		if s.shelves[c].spare < classes[c].cells {
			continue // what the others have free does not hold one slab's cells
		}
		if slab, ok := s.sparsest(c); ok {
			s.evacuate(slab)
			return true
		}
	}
	return false
}

// sparsest is the slab of class c with the fewest cells in use among those that
// can be emptied.
func (s *Store) sparsest(c int) (slab int, ok bool) {
	used := classes[c].cells
	for _, candidate := range s.shelves[c].partial {
		if n := int(s.slabs.info[candidate].used); n < used && s.movable(int(candidate)) {
			slab, used, ok = int(candidate), n, true
		}
	}
	return slab, ok
}

func (s *Store) movable(slab int) bool {
	for cell := range int(s.slabs.info[slab].fresh) {
		owner := s.link(makeRef(slab, cell)).owner
		if owner == 0 {
			continue
		}
		if s.ids.pending(owner-1) || s.header(owner-1).pins > 0 {
			return false
		}
	}
	return true
}

// evacuate moves every cell of a slab elsewhere. The class has room for them.
func (s *Store) evacuate(slab int) {
	info := &s.slabs.info[slab]
	c := info.class
	s.unshelve(slab)
	s.shelves[c].spare -= classes[c].cells - int(info.used)
	for cell := range int(info.fresh) {
		if from := makeRef(slab, cell); s.link(from).owner != 0 {
			to, _ := s.takeCell(c, 0)
			s.move(from, to)
		}
	}
	s.slabs.put(slab)
}

// move copies a cell and makes its chunk refer to the copy.
func (s *Store) move(from, to ref) {
	id := s.link(from).owner - 1
	copy(s.cell(to), s.cell(from))
	at := s.ids.head(id)
	if at == from {
		s.ids.setHead(id, to)
		return
	}
	for {
		l := s.link(at)
		if ref(l.cont-1) == from {
			l.cont = uint32(to) + 1
			return
		}
		at = ref(l.cont - 1)
	}
}
