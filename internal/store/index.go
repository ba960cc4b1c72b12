package store

// index finds chunks by key and by version: an open-addressing hash table, off
// the Go heap, of ids (plus 1; 0 is an empty place).
//
// Each chunk is in it once. One chunk of every version, its anchor, is found by
// the version alone; the others by their whole key; and a ring through the headers
// joins the chunks of a version. So most small objects, of which a node holds one
// chunk, need one entry, and freeing a version needs no search. Guarded by
// Store.mu.
type index struct {
	table words
	count int
}

const minTable = 1024 // entries

func (x *index) mask() uint32 { return uint32(len(x.table.at) - 1) }

// mix is the finalizer of MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func hashVersion(version uint64) uint32 { return uint32(mix(version)) }

func hashKey(k Key) uint32 {
	return uint32(mix(mix(k.Version) + uint64(k.Stripe)<<16 + uint64(k.Chunk)))
}

// hash is where a chunk in the index belongs.
func (h *header) hash() uint32 {
	if h.anchor {
		return hashVersion(h.version)
	}
	return hashKey(h.key())
}

// findVersion is the anchor of a version.
func (s *Store) findVersion(version uint64) (id uint32, ok bool) {
	mask := s.index.mask()
	for i := hashVersion(version) & mask; ; i = (i + 1) & mask {
		e := s.index.table.at[i]
		if e == 0 {
			return 0, false
		}
		if h := s.header(e - 1); h.anchor && h.version == version {
			return e - 1, true
		}
	}
}

func (s *Store) find(k Key) (id uint32, ok bool) {
	id, ok = s.findVersion(k.Version)
	if !ok || s.header(id).key() == k {
		return id, ok
	}
	mask := s.index.mask()
	for i := hashKey(k) & mask; ; i = (i + 1) & mask {
		e := s.index.table.at[i]
		if e == 0 {
			return 0, false
		}
		if h := s.header(e - 1); !h.anchor && h.key() == k {
			return e - 1, true
		}
	}
}

// enter puts a chunk, whose header is complete but for its ring, into the index.
// There is room: see growIndex.
func (s *Store) enter(id uint32) {
	h := s.header(id)
	if a, ok := s.findVersion(h.version); ok {
		anchor := s.header(a)
		h.anchor, h.next, h.prev = false, anchor.next, a
		s.header(anchor.next).prev = id
		anchor.next = id
	} else {
		h.anchor, h.next, h.prev = true, id, id
	}
	s.place(id, h.hash())
	s.index.count++
}

// leave takes a chunk out of the index; if it was its version's anchor, another
// takes over.
func (s *Store) leave(id uint32) {
	h := s.header(id)
	s.displace(id, h.hash())
	s.index.count--
	if h.next == id {
		return
	}
	next := s.header(h.next)
	next.prev = h.prev
	s.header(h.prev).next = h.next
	if h.anchor {
		s.displace(h.next, next.hash())
		next.anchor = true
		s.place(h.next, next.hash())
	}
}

func (s *Store) place(id, hash uint32) {
	mask := s.index.mask()
	i := hash & mask
	for s.index.table.at[i] != 0 {
		i = (i + 1) & mask
	}
	s.index.table.at[i] = id + 1
}

// displace empties a chunk's place and moves later entries up, so that no search
// stops short of them.
func (s *Store) displace(id, hash uint32) {
	table, mask := s.index.table.at, s.index.mask()
	i := hash & mask
	for table[i] != id+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; table[j] != 0; j = (j + 1) & mask {
		// The entry at j may move to i if its home is not after i.
		if home := s.header(table[j]-1).hash() & mask; (j-home)&mask >= (j-i)&mask {
			table[i] = table[j]
			i = j
		}
	}
	table[i] = 0
}

// growIndex makes room for one more entry.
func (s *Store) growIndex() error {
	if n := len(s.index.table.at); 4*(s.index.count+1) > 3*n {
		return s.resizeIndex(2 * n)
	}
	return nil
}

// shrinkIndex fits the table to what is left in it.
func (s *Store) shrinkIndex() error {
	n := len(s.index.table.at)
	for n > minTable && 8*s.index.count < 3*n {
		n /= 2
	}
	if n == len(s.index.table.at) {
		return nil
	}
	return s.resizeIndex(n)
}

func (s *Store) resizeIndex(n int) error {
	table, err := reserveWords(n)
	if err != nil {
		return err
	}
	old := s.index.table
	s.index.table = table
	for _, e := range old.at {
		if e != 0 {
			s.place(e-1, s.header(e-1).hash())
		}
	}
	return unmap(old.mem)
}
