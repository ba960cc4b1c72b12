package store

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// held is a chunk as the model knows it.
type held struct {
	key    Key
	size   int
	record []byte
	opens  int
	freed  bool
	at     uint64 // position of the commit
}

func (c *held) cost() int64 { return Cost(int64(c.size), len(c.record)) }

// model is what the store should hold.
type model struct {
	s      *Store
	chunks []*held // freed ones too, while they are open
	opens  []opened
}

type opened struct {
	chunk  *held
	handle *Handle
}

func (m *model) find(k Key) *held {
	for _, c := range m.chunks {
		if c.key == k && !c.freed {
			return c
		}
	}
	return nil
}

func (m *model) used() (n int64) {
	for _, c := range m.chunks {
		n += c.cost()
	}
	return n
}

// free marks a chunk freed and forgets it when it is not open.
func (m *model) free(c *held) {
	c.freed = true
	m.sweep()
}

func (m *model) sweep() {
	m.chunks = slices.DeleteFunc(m.chunks, func(c *held) bool { return c.freed && c.opens == 0 })
}

func drawKey(t *rapid.T) Key {
	return Key{
		Version: rapid.Uint64Range(0, 20).Draw(t, "version"),
		Stripe:  rapid.Uint32Range(0, 3).Draw(t, "stripe"),
		Chunk:   rapid.Uint16Range(0, 1).Draw(t, "chunk"),
	}
}

func (m *model) put(t *rapid.T) {
	k := drawKey(t)
	c := &held{key: k}
	c.size = rapid.OneOf(rapid.IntRange(0, 3000), rapid.IntRange(0, 400_000),
		rapid.Map(rapid.IntRange(1, 12), func(n int) int { return n * slabSize })).Draw(t, "size")
	c.record = content(k, rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(0, MaxRecord)).Draw(t, "record"))
	err := put(t, m.s, k, c.size, c.record)
	switch {
	case m.find(k) != nil:
		if !errors.Is(err, ErrExists) {
			t.Fatalf("put of a held key: %v, want ErrExists", err)
		}
	case errors.Is(err, ErrFull):
		if m.used()+c.cost() < m.s.Capacity()/2 {
			t.Fatalf("%v with %d used", err, m.used())
		}
	case err != nil:
		t.Fatalf("put: %v", err)
	default:
		c.at = changes.Load()
		m.chunks = append(m.chunks, c)
	}
}

func (m *model) abort(t *rapid.T) {
	k := drawKey(t)
	c, err := m.s.Create(k, rapid.Int64Range(0, 100_000).Draw(t, "size"), nil)
	if err == nil {
		c.Abort()
	}
	if exists := m.find(k) != nil; exists != errors.Is(err, ErrExists) {
		t.Fatalf("Create(%+v): %v, held %v", k, err, exists)
	}
}

func (m *model) open(t *rapid.T) {
	k := drawKey(t)
	h, err := m.s.Open(k)
	c := m.find(k)
	if (c != nil) != (err == nil) {
		t.Fatalf("Open(%+v): %v, held %v", k, err, c != nil)
	}
	if c != nil {
		c.opens++
		m.opens = append(m.opens, opened{c, h})
	}
}

func (m *model) close(t *rapid.T) {
	if len(m.opens) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.opens)-1).Draw(t, "i")
	o := m.opens[i]
	if !bytes.Equal(read(t, o.handle), content(o.chunk.key, o.chunk.size)) || !bytes.Equal(o.handle.Record(), o.chunk.record) {
		t.Fatalf("open chunk %+v changed", o.chunk.key)
	}
	o.handle.Close()
	m.opens = slices.Delete(m.opens, i, i+1)
	o.chunk.opens--
	m.sweep()
}

func (m *model) freeVersion(t *rapid.T) {
	v := rapid.Uint64Range(0, 20).Draw(t, "version")
	var want int64
	count := 0
	for _, c := range slices.Clone(m.chunks) {
		if c.key.Version == v && !c.freed {
			want += c.cost()
			count++
			m.free(c)
		}
	}
	if got, n := m.s.Free(v); got != want || n != count {
		t.Fatalf("Free(%d) = %d, %d, want %d, %d", v, got, n, want, count)
	}
}

func (m *model) freeChunk(t *rapid.T) {
	k := drawKey(t)
	var want int64
	if c := m.find(k); c != nil {
		want = c.cost()
		m.free(c)
	}
	if got := m.s.FreeChunk(k); got != want {
		t.Fatalf("FreeChunk(%+v) = %d, want %d", k, got, want)
	}
}

func (m *model) trim(t *rapid.T) {
	squeezeAll(m.s)
	if err := m.s.Trim(); err != nil {
		t.Fatalf("Trim: %v", err)
	}
}

// squeezeAll moves all that can be moved, which Trim does only for much waste.
func squeezeAll(s *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.squeeze() {
	}
}

func (m *model) check(t *rapid.T) {
	if got, want := m.s.Used(), m.used(); got != want || got > m.s.Capacity() {
		t.Fatalf("Used() = %d, want %d, at most %d", got, want, m.s.Capacity())
	}
	for _, after := range []uint64{0, m.middle()} {
		last := uint64(math.MaxUint64)
		listed := map[Key]bool{}
		for _, item := range list(t, m.s, after) {
			c := m.find(item.Key)
			if c == nil || listed[item.Key] || int64(c.size) != item.Size || !bytes.Equal(item.Record, c.record) {
				t.Fatalf("the list after %d names %+v", after, item.Key)
			}
			if c.at <= after || c.at >= last {
				t.Fatalf("the list after %d names %+v of position %d after one of %d", after, item.Key, c.at, last)
			}
			last, listed[item.Key] = c.at, true
		}
		for _, c := range m.chunks {
			if !c.freed && c.at > after && !listed[c.key] {
				t.Fatalf("the list after %d does not name %+v of position %d", after, c.key, c.at)
			}
		}
	}
}

// middle is a position that divides the chunks.
func (m *model) middle() uint64 {
	if len(m.chunks) == 0 {
		return changes.Load()
	}
	return m.chunks[len(m.chunks)/2].at
}

// Law: a random workload reads what was written, the accounts are exact, and all
// memory comes back.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := New(3 << 20)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		m := &model{s: s}
		t.Repeat(map[string]func(*rapid.T){
			"put": m.put, "put again": m.put, "abort": m.abort, "open": m.open, "close": m.close,
			"free": m.freeVersion, "free chunk": m.freeChunk, "trim": m.trim, "": m.check,
		})
		for _, o := range m.opens {
			o.handle.Close()
		}
		for _, c := range m.chunks {
			if !c.freed {
				check(t, s, c.key, c.size, c.record)
				s.FreeChunk(c.key)
			}
		}
		if s.Used() != 0 || s.Len() != 0 || s.slabs.free != s.slabs.total {
			t.Fatalf("all freed: Used() = %d, Len() = %d, %d of %d slabs free", s.Used(), s.Len(), s.slabs.free, s.slabs.total)
		}
	})
}

// Many chunks of few versions and few of many, freed in any order: every search
// ends where it should.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := New(4 << 20)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		keys := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Key {
			return Key{
				Version: rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64()).Draw(t, "version"),
				Stripe:  rapid.Uint32Range(0, 100).Draw(t, "stripe"),
				Chunk:   rapid.Uint16Range(0, 3).Draw(t, "chunk"),
			}
		}), 1, 300, rapid.ID[Key]).Draw(t, "keys")
		for _, k := range keys {
			if err := put(t, s, k, 8, nil); err != nil {
				t.Fatal(err)
			}
		}
		// A small table, as a store of millions has a large one: long clusters.
		s.mu.Lock()
		n := 1
		for 3*n < 4*len(keys) {
			n *= 2
		}
		err = s.resizeIndex(n)
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range rapid.Permutation(keys).Draw(t, "order") {
			if s.FreeChunk(k) == 0 {
				t.Fatalf("%d: chunk %+v is not found", i, k)
			}
			if s.FreeChunk(k) != 0 {
				t.Fatalf("%d: chunk %+v is found after it was freed", i, k)
			}
		}
		if s.Len() != 0 || s.index.count != 0 {
			t.Fatalf("%d chunks, %d in the index, want none", s.Len(), s.index.count)
		}
	})
}
