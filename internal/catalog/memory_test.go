package catalog

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/infinicache/infinicache/internal/object"
)

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestBytesPerObject(t *testing.T) {
	const n = 50_000
	c := newCatalog(t, Config{})
	before := heapBytes()
	places := make([]Place, 12)
	for i := range n {
		for j := range places {
			places[j] = Place{Node: uint32(j), Instance: uint32(i + 1)}
		}
		s, err := c.Begin(fmt.Sprintf("%020d", i), object.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetPlan(object.Shape{Data: 10, Parity: 2}, 10<<20); err != nil {
			t.Fatal(err)
		}
		if err := s.Place(0, places); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Commit(10 << 20); err != nil {
			t.Fatal(err)
		}
	}
	each := (heapBytes() - before) / n
	t.Logf("%d bytes an object of one 10+2 stripe with a 20-byte key", each)
	if each >= 600 {
		t.Errorf("%d bytes an object, limit 600", each)
	}
	runtime.KeepAlive(c)
}

func TestMissAllocatesNothing(t *testing.T) {
	c := newCatalog(t, Config{})
	put(t, c, "gone", 1, object.PutOptions{})
	c.Evict(nil)
	for _, key := range []string{"gone", "never there"} {
		if n := testing.AllocsPerRun(1000, func() {
			_, _ = c.Open(key)
			_, _ = c.Stat(key)
		}); n != 0 {
			t.Errorf("a miss of %q allocates %v times, want 0", key, n)
		}
	}
	if s := c.Stats(); s.Ghosts != 1 {
		t.Errorf("%d ghosts after misses, want 1", s.Ghosts)
	}
}
