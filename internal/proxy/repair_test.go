package proxy_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/simcache"
)

// A chunk that its instance turns out not to hold is put back.
func TestChunkThatItsInstanceDeniesIsRepaired(t *testing.T) {
	bubble(t, simcache.Config{Nodes: 12}, func(t *testing.T, w *simcache.Cache) {
		c := w.Client()
		mustPut(t, c, "k", content(1, 10<<20))
		w.Proxy.ForgetChunk("k", 2)
		time.Sleep(100 * time.Millisecond)
		mustGet(t, c, "k", content(1, 10<<20))
		time.Sleep(time.Second)
		synctest.Wait()
		if s := w.Proxy.Status(); s.ChunksRepaired != 1 || w.Proxy.Vacant("k") != 0 {
			t.Errorf("%d chunks repaired, %d vacant; want 1, 0", s.ChunksRepaired, w.Proxy.Vacant("k"))
		}
		before := w.Proxy.Status().ChunksFailed
		mustGet(t, c, "k", content(1, 10<<20))
		if n := w.Proxy.Status().ChunksFailed; n != before {
			t.Errorf("%d chunks failed after the repair", n-before)
		}
	})
}

// A repair that cannot succeed is not tried with every read.
func TestHopelessRepairIsNotTriedAgainAtOnce(t *testing.T) {
	bubble(t, simcache.Config{Nodes: 12, Linger: 30 * time.Second}, func(t *testing.T, w *simcache.Cache) {
		c := w.Client()
		mustPut(t, c, "k", content(1, 10<<20))
		w.Platform.Reclaim(3)
		w.Platform.Throttle(1 << 30) // it cannot be woken, and there is no other
		time.Sleep(time.Second)
		for range 50 {
			mustGet(t, c, "k", content(1, 10<<20))
			time.Sleep(100 * time.Millisecond)
		}
		if n := w.Proxy.Status().RepairsFailed; n > 3 {
			t.Errorf("%d repairs failed in 5 s, want 3 at most", n)
		}
		w.Platform.Throttle(0)
		time.Sleep(20 * time.Second)
		mustGet(t, c, "k", content(1, 10<<20))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := w.Proxy.Vacant("k"); n != 0 {
			t.Errorf("%d chunks are vacant though the node is back", n)
		}
	})
}

// Ranges of one object that a door reads are one hit, or one miss.
func TestRangesAreOneHit(t *testing.T) {
	bubble(t, simcache.Config{Nodes: 12}, func(t *testing.T, w *simcache.Cache) {
		mustPut(t, w.Client(), "k", content(1, 10<<20))
		r, err := w.Proxy.Open(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		for off := range int64(5) {
			if _, err := r.WriteRange(t.Context(), io.Discard, off<<20, 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		r.Close()
		r.Close()
		if s := w.Proxy.Status(); s.Hits != 1 || s.HitBytes != 5<<20 {
			t.Errorf("%d hits of %d bytes, want 1 of 5 MiB", s.Hits, s.HitBytes)
		}
		r, err = w.Proxy.Open(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			w.Platform.Reclaim(n)
		}
		for range 3 {
			if _, err := r.WriteRange(t.Context(), io.Discard, 0, -1); err == nil {
				t.Error("three of twelve are gone and the object is read")
			}
		}
		r.Close()
		misses := uint64(0)
		s := w.Proxy.Status()
		for _, n := range s.Misses {
			misses += n
		}
		if s.Hits != 1 || misses != 1 {
			t.Errorf("%d hits and misses %v, want 1 and 1", s.Hits, s.Misses)
		}
	})
}
