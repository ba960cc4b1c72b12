package catalog

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// scan lists all keys with how often each was listed.
func scan(c *Catalog, count int) map[string]int {
	seen := map[string]int{}
	for cursor := uint64(0); ; {
		var keys []string
		keys, cursor = c.Scan(cursor, count)
		for _, key := range keys {
			seen[key]++
		}
		if cursor == 0 {
			return seen
		}
	}
}

func TestScan(t *testing.T) {
	c := newCatalog(t, Config{})
	for _, n := range []int{0, 1, 5000} {
		for i := range n {
			put(t, c, fmt.Sprint(i), 0, object.PutOptions{})
		}
		for _, count := range []int{-1, 1, 100, 1 << 30} {
			seen := scan(c, count)
			if len(seen) != n {
				t.Errorf("%d objects, count %d: listed %d", n, count, len(seen))
			}
			for key, times := range seen {
				if times != 1 {
					t.Errorf("%q listed %d times", key, times)
				}
			}
		}
	}
	for _, cursor := range []uint64{buckets, 1<<64 - 1} {
		if keys, next := c.Scan(cursor, 1); keys != nil || next != 0 {
			t.Errorf("Scan(%d) = %d keys, %d", cursor, len(keys), next)
		}
	}
}

// What is there throughout is listed once, whatever comes and goes, even if it is
// overwritten; Each may pass over what is.
func TestScanWhileChanging(t *testing.T) {
	c := newCatalog(t, Config{})
	const n = 2000
	for i := range n {
		put(t, c, fmt.Sprint("stays", i), 1, object.PutOptions{})
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 3))
			for {
				select {
				case <-done:
					return
				default:
				}
				put(t, c, fmt.Sprint("comes", r.IntN(n)), 1, object.PutOptions{})
				put(t, c, fmt.Sprint("stays", r.IntN(n/2)), 1, object.PutOptions{})
				if _, _, err := c.Delete(fmt.Sprint("comes", r.IntN(n)), false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		seen := scan(c, 10)
		visited := map[string]int{}
		c.Each(func(r wire.Record, places []Place) bool {
			if len(places) != 3 {
				t.Errorf("%q has %d places", r.Key, len(places))
			}
			visited[r.Key]++
			return true
		})
		for i := range n {
			key := fmt.Sprint("stays", i)
			if seen[key] != 1 {
				t.Fatalf("%q listed %d times", key, seen[key])
			}
			if i >= n/2 && visited[key] != 1 {
				t.Fatalf("%q visited %d times", key, visited[key])
			}
		}
	}
	close(done)
	wg.Wait()

	calls := 0
	c.Each(func(wire.Record, []Place) bool { calls++; return calls < 3 })
	if calls != 3 {
		t.Errorf("Each went on for %d calls after false, want 3", calls)
	}
}
