package store

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
)

func commit(t testing.TB, s *Store, k Key, position uint64) {
	t.Helper()
	c, err := s.Create(k, 100, []byte("record"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Commit(position); err != nil {
		t.Fatal(err)
	}
}

func versions(items []Item) (v []uint64) {
	for _, item := range items {
		v = append(v, item.Key.Version)
	}
	return v
}

func TestListNamesWhatIsCommitted(t *testing.T) {
	s := open(t, 8<<20)
	want := map[Key]bool{}
	for v := range uint64(50) {
		for stripe := range uint32(3) {
			k := Key{Version: v, Stripe: stripe, Chunk: uint16(v)}
			if err := put(t, s, k, int(v)*100, []byte{byte(v)}); err != nil {
				t.Fatal(err)
			}
			want[k] = true
		}
	}
	c, err := s.Create(Key{Version: 1000}, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	for _, item := range list(t, s, 0) {
		if !want[item.Key] || item.Size != int64(item.Key.Version)*100 || !bytes.Equal(item.Record, []byte{byte(item.Key.Version)}) {
			t.Errorf("unexpected %+v", item)
		}
		delete(want, item.Key)
		s.FreeChunk(item.Key)
	}
	if len(want) != 0 {
		t.Errorf("%d chunks were not listed", len(want))
	}
	if items := list(t, s, 0); len(items) != 0 {
		t.Errorf("an empty store lists %d chunks", len(items))
	}
}

// Chunks that come, go or are replaced while a list is read do not disturb it.
func TestListOfAStoreThatChanges(t *testing.T) {
	s := open(t, MinCapacity)
	for v := range uint64(6) {
		commit(t, s, Key{Version: v}, v+1)
	}
	l, err := s.List(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.Free(2)
	commit(t, s, Key{Version: 99}, 7) // takes the place of the freed one
	s.Free(4)
	commit(t, s, Key{Version: 4}, 8)
	var got []uint64
	for {
		item, ok, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, item.Key.Version)
	}
	if want := []uint64{5, 3, 1}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	if got, want := versions(list(t, s, 6)), []uint64{4, 99}; !slices.Equal(got, want) {
		t.Errorf("after that %v, want %v", got, want)
	}
}

// Positions too large to be kept are listed too often and never too seldom.
func TestListOfHugePositions(t *testing.T) {
	s := open(t, MinCapacity)
	for v, position := range []uint64{1, lastPosition - 1, lastPosition, lastPosition + 1, math.MaxUint64} {
		commit(t, s, Key{Version: uint64(v)}, position)
	}
	for after, want := range map[uint64]int{0: 5, 1: 4, lastPosition - 2: 4, lastPosition - 1: 3, lastPosition: 3, lastPosition + 9: 3, math.MaxUint64: 3} {
		if items := list(t, s, after); len(items) != want {
			t.Errorf("after %d: listed %v, want %d chunks", after, versions(items), want)
		}
	}
}

func TestListOfAStoreThatIsClosed(t *testing.T) {
	s := open(t, MinCapacity)
	commit(t, s, Key{}, 1)
	l, err := s.List(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := l.Next(); ok || !errors.Is(err, ErrClosed) {
		t.Errorf("Next = %v, %v, want ErrClosed", ok, err)
	}
	l.Close()
	l.Close()
	if _, err := s.List(0); !errors.Is(err, ErrClosed) {
		t.Errorf("List = %v, want ErrClosed", err)
	}
}

// A list leaves next to nothing on the Go heap.
func TestListAllocatesLittle(t *testing.T) {
	s := open(t, 8<<20)
	for v := range uint64(10_000) {
		commit(t, s, Key{Version: v}, v+1)
	}
	n := testing.AllocsPerRun(10, func() {
		l, err := s.List(0)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.left) != 10_000 {
			t.Errorf("%d chunks, want 10,000", len(l.left))
		}
		l.Close()
	})
	if n > 2 {
		t.Errorf("a list of 10,000 chunks allocates %v times", n)
	}
}

func BenchmarkList(b *testing.B) {
	s := open(b, 300<<20)
	const chunks = 1_000_000
	for v := range uint64(chunks) {
		commit(b, s, Key{Version: v}, v+1)
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			l, err := s.List(0)
			if err != nil {
				b.Fatal(err)
			}
			for ok := true; ok; {
				if _, ok, err = l.Next(); err != nil {
					b.Fatal(err)
				}
			}
			l.Close()
		}
	})
	b.Run("newest 1%", func(b *testing.B) {
		for b.Loop() {
			l, err := s.List(chunks - chunks/100)
			if err != nil {
				b.Fatal(err)
			}
			l.Close()
		}
	})
}
