package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/infinicache/infinicache/internal/wire"
)

type tb interface {
	Helper()
	Fatalf(string, ...any)
}

func open(t testing.TB, capacity int64) *Store {
	t.Helper()
	s, err := New(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// content is what chunk k with so many bytes holds in these tests.
func content(k Key, n int) []byte {
	b := make([]byte, 0, n+8)
	r := rand.New(rand.NewPCG(k.Version, uint64(k.Stripe)<<16|uint64(k.Chunk)))
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}

func write(t tb, c *Chunk, data []byte) {
	t.Helper()
	for i := range c.Blocks() {
		n, crc := 0, uint32(0)
		for _, piece := range c.Block(i) {
			if len(piece) == 0 || len(piece) > len(data) {
				t.Fatalf("block %d has a piece of %d bytes, %d are left", i, len(piece), len(data))
			}
			n += copy(piece, data)
			data = data[len(piece):]
			crc = crc32.Update(crc, crc32.IEEETable, piece)
		}
		if want := min(wire.BlockSize, int(c.Size())-i*wire.BlockSize); n != want {
			t.Fatalf("block %d has %d bytes, want %d", i, n, want)
		}
		c.SetSum(i, crc)
	}
	if len(data) != 0 {
		t.Fatalf("%d bytes have no place", len(data))
	}
}

func read(t tb, h *Handle) []byte {
	t.Helper()
	var all []byte
	for i := range h.Blocks() {
		data, crc := h.Block(i)
		block := bytes.Join(data, nil)
		if crc != crc32.ChecksumIEEE(block) {
			t.Fatalf("block %d has checksum %#x, want %#x", i, crc, crc32.ChecksumIEEE(block))
		}
		all = append(all, block...)
	}
	return all
}

// changes counts the commits of these tests.
var changes atomic.Uint64

// list is what a list of a store names, in order.
func list(t tb, s *Store, after uint64) (items []Item) {
	t.Helper()
	l, err := s.List(after)
	if err != nil {
		t.Fatalf("List(%d): %v", after, err)
	}
	defer l.Close()
	for {
		item, ok, err := l.Next()
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if !ok {
			return items
		}
		items = append(items, item)
	}
}

func put(t tb, s *Store, k Key, size int, record []byte) error {
	t.Helper()
	c, err := s.Create(k, int64(size), record)
	if err != nil {
		return err
	}
	write(t, c, content(k, size))
	if err := c.Commit(changes.Add(1)); err != nil {
		t.Fatalf("Commit(%+v): %v", k, err)
	}
	return nil
}

func check(t tb, s *Store, k Key, size int, record []byte) {
	t.Helper()
	h, err := s.Open(k)
	if err != nil {
		t.Fatalf("Open(%+v): %v", k, err)
	}
	defer h.Close()
	if !bytes.Equal(h.Record(), record) {
		t.Fatalf("record of %+v differs", k)
	}
	if h.Size() != int64(size) || !bytes.Equal(read(t, h), content(k, size)) {
		t.Fatalf("bytes of %+v (%d) differ", k, size)
	}
}

func TestLifeOfAChunk(t *testing.T) {
	s := open(t, 8<<20)
	k := Key{Version: 1, Stripe: 2, Chunk: 3}
	record := []byte("what it is")
	const size = 700_123
	c, err := s.Create(k, size, record)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Used(); got != Cost(size, len(record)) {
		t.Errorf("staged: Used() = %d, want %d", got, Cost(size, len(record)))
	}
	if _, err := s.Open(k); !errors.Is(err, ErrNotHeld) {
		t.Errorf("Open of a staged chunk: %v, want ErrNotHeld", err)
	}
	if _, err := s.Create(k, 1, nil); !errors.Is(err, ErrExists) {
		t.Errorf("Create of a staged key: %v, want ErrExists", err)
	}
	write(t, c, content(k, size))
	if err := c.Commit(changes.Add(1)); err != nil {
		t.Fatal(err)
	}
	c.Abort() // nothing
	check(t, s, k, size, record)
	if _, err := s.Create(k, 1, nil); !errors.Is(err, ErrExists) {
		t.Errorf("Create of a held key: %v, want ErrExists", err)
	}
	h, err := s.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	if bytes, n := s.Free(1); n != 1 || bytes != Cost(size, len(record)) {
		t.Errorf("Free = %d, %d", bytes, n)
	}
	if _, err := s.Open(k); !errors.Is(err, ErrNotHeld) {
		t.Errorf("Open of a freed chunk: %v, want ErrNotHeld", err)
	}
	if s.Used() == 0 {
		t.Errorf("memory of an open chunk was given back")
	}
	// Others may come, the key's own next one included; the open one stays.
	for i := range 20 {
		if err := put(t, s, Key{Version: 1, Stripe: 2, Chunk: uint16(3 + i)}, 100_000, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read(t, h), content(k, size)) || !bytes.Equal(h.Record(), record) {
		t.Errorf("a freed chunk changed while open")
	}
	h.Close()
	h.Close()
	if _, n := s.Free(1); n != 20 || s.Used() != 0 || s.Len() != 0 {
		t.Errorf("all freed: %d chunks, Used() = %d, Len() = %d", n, s.Used(), s.Len())
	}
}

func TestAbortAndFreeWhileStaged(t *testing.T) {
	s := open(t, 4<<20)
	k := Key{Version: 9}
	c, err := s.Create(k, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Abort()
	c.Abort()
	if err := c.Commit(changes.Add(1)); !errors.Is(err, ErrFreed) {
		t.Errorf("Commit after Abort: %v, want ErrFreed", err)
	}
	c, err = s.Create(k, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.FreeChunk(k); n != Cost(1000, 0) {
		t.Errorf("FreeChunk = %d, want %d", n, Cost(1000, 0))
	}
	if n := s.FreeChunk(k); n != 0 {
		t.Errorf("second FreeChunk = %d, want 0", n)
	}
	if s.Used() == 0 {
		t.Errorf("memory was given back under the writer")
	}
	if err := c.Commit(changes.Add(1)); !errors.Is(err, ErrFreed) {
		t.Errorf("Commit after Free: %v, want ErrFreed", err)
	}
	if s.Used() != 0 {
		t.Errorf("Used() = %d, want 0", s.Used())
	}
}

func TestLimits(t *testing.T) {
	for _, n := range []int64{-1, 0, MinCapacity - 1, MaxCapacity + 1} {
		if _, err := New(n); !errors.Is(err, ErrSize) {
			t.Errorf("New(%d): %v, want ErrSize", n, err)
		}
	}
	s := open(t, 20<<20)
	for _, tc := range []struct {
		size   int64
		record int
	}{{-1, 0}, {MaxSize + 1, 0}, {1, MaxRecord + 1}} {
		if _, err := s.Create(Key{}, tc.size, make([]byte, tc.record)); !errors.Is(err, ErrSize) {
			t.Errorf("Create(%d bytes, record %d): %v, want ErrSize", tc.size, tc.record, err)
		}
	}
	record := bytes.Repeat([]byte("r"), MaxRecord)
	if err := put(t, s, Key{Version: 1}, MaxSize, record); err != nil {
		t.Fatal(err)
	}
	check(t, s, Key{Version: 1}, MaxSize, record)
	if err := put(t, s, Key{Version: 2}, MaxSize, nil); !errors.Is(err, ErrFull) {
		t.Errorf("Create beyond the capacity: %v, want ErrFull", err)
	}
	if err := put(t, s, Key{Version: 3}, 0, nil); err != nil {
		t.Errorf("empty chunk: %v", err)
	}
	check(t, s, Key{Version: 3}, 0, nil)
}

func TestClose(t *testing.T) {
	s, err := New(MinCapacity)
	if err != nil {
		t.Fatal(err)
	}
	k := Key{Version: 1}
	if err := put(t, s, k, 5000, nil); err != nil {
		t.Fatal(err)
	}
	h, err := s.Open(k)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Create(Key{Version: 2}, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, h), content(k, 5000)) {
		t.Errorf("an open chunk changed at Close")
	}
	if _, err := s.Open(k); !errors.Is(err, ErrClosed) {
		t.Errorf("Open: %v, want ErrClosed", err)
	}
	if _, err := s.Create(k, 1, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Create: %v, want ErrClosed", err)
	}
	if err := c.Commit(changes.Add(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Commit: %v, want ErrClosed", err)
	}
	h.Close()
	h.Close()
	if s.mem != nil {
		t.Errorf("memory is still mapped")
	}
	if bytes, n := s.Free(1); bytes != 0 || n != 0 || s.FreeChunk(k) != 0 || s.Trim() != nil || s.Close() != nil {
		t.Errorf("a closed store still answers")
	}
}

// A block is in one piece while memory is, and never in more than a few.
func TestBlocksAreContiguous(t *testing.T) {
	s := open(t, 8<<20)
	c, err := s.Create(Key{}, 1<<20, make([]byte, 100))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	for i := range c.Blocks() {
		if n := len(c.Block(i)); n != 1 {
			t.Errorf("block %d of 1 MiB is in %d pieces, want 1", i, n)
		}
	}
	for _, size := range []int{1, 100, 1 << 10, 10_000, 30_000, 300_000, 700_123} {
		c, err := s.Create(Key{Version: uint64(size)}, int64(size), make([]byte, 100))
		if err != nil {
			t.Fatal(err)
		}
		last := c.Blocks() - 1
		if n := len(c.Block(last)); n > 3 {
			t.Errorf("last block of %d bytes is in %d pieces", size, n)
		}
		c.Abort()
	}
}

// Every store that is filled, thinned out at random and filled with chunks of
// another size takes as much as the accounts say.
func TestFragmentationRefusesNothing(t *testing.T) {
	s := open(t, 20<<20)
	rng := rand.New(rand.NewPCG(3, 4))
	var version uint64
	for _, size := range []int{1000, 5000, 70_000, 20_000, 2000, 1 << 20, 13_000, 500} {
		var keys []Key
		for _, item := range list(t, s, 0) {
			keys = append(keys, item.Key)
		}
		for _, i := range rng.Perm(len(keys))[:len(keys)*9/10] {
			s.FreeChunk(keys[i])
		}
		cost := Cost(int64(size), 10)
		for s.Used()+cost <= s.Capacity() {
			version++
			if err := put(t, s, Key{Version: version}, size, make([]byte, 10)); err != nil {
				t.Fatalf("%d bytes refused at %d of %d: %v", size, s.Used(), s.Capacity(), err)
			}
		}
	}
	for _, item := range list(t, s, 0) {
		check(t, s, item.Key, int(item.Size), make([]byte, 10))
	}
}

// Readers, writers, frees and trims at once: every byte read is right.
func TestConcurrent(t *testing.T) {
	s := open(t, 6<<20)
	sizes := []int{0, 100, 1 << 10, 5000, 40_000, 300_000}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 0))
			for range 400 {
				k := Key{Version: rng.Uint64N(40), Stripe: rng.Uint32N(2)}
				size := sizes[k.Version%uint64(len(sizes))]
				switch rng.IntN(8) {
				case 0, 1, 2:
					if c, err := s.Create(k, int64(size), []byte("record")); err == nil {
						write(t, c, content(k, size))
						if err := c.Commit(changes.Add(1)); err != nil && !errors.Is(err, ErrFreed) {
							t.Errorf("Commit: %v", err)
						}
					} else if !errors.Is(err, ErrExists) && !errors.Is(err, ErrFull) {
						t.Errorf("Create: %v", err)
					}
				case 3, 4, 5:
					if h, err := s.Open(k); err == nil {
						if !bytes.Equal(read(t, h), content(k, size)) || string(h.Record()) != "record" {
							t.Errorf("chunk %+v differs", k)
						}
						h.Close()
					}
				case 6:
					s.Free(k.Version)
				case 7:
					list(t, s, 0)
					squeezeAll(s)
					if err := s.Trim(); err != nil {
						t.Errorf("Trim: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	for v := range uint64(40) {
		s.Free(v)
	}
	if s.Used() != 0 || s.slabs.free != s.slabs.total {
		t.Errorf("all freed: Used() = %d, %d of %d slabs free", s.Used(), s.slabs.free, s.slabs.total)
	}
}
