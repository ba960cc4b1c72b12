package simcache

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/proxy"
)

// What was read lately is put back before it is asked for; the rest waits.
func TestRepairOfHotObjectsIsEager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hot, cold = 10, 10
		w := New(t, Config{Nodes: 12, Shape: object.Shape{Data: 10, Parity: 2}, Warm: time.Minute, Seed: 1})
		c := w.Client()
		want := load(t, c, hot+cold, 2500<<10)
		time.Sleep(15 * time.Minute)
		for i := range hot {
			key := fmt.Sprint("k", i)
			mustGet(t, c, key, want[key])
		}
		time.Sleep(10 * time.Second)
		before := w.Proxy.Status()
		w.Platform.Reclaim(4)
		w.Platform.Reclaim(7)
		time.Sleep(5 * time.Minute) // warm-ups find out
		s := w.Proxy.Status()
		if n := s.ChunksRepaired - before.ChunksRepaired; n != 2*hot {
			t.Errorf("%d chunks were put back, want the %d of hot objects", n, 2*hot)
		}
		if s.Hits != before.Hits || s.RepairsFailed != 0 {
			t.Errorf("%d hits, %d repairs failed", s.Hits-before.Hits, s.RepairsFailed)
		}
		failed := s.ChunksFailed
		for i := range hot {
			key := fmt.Sprint("k", i)
			mustGet(t, c, key, want[key])
		}
		if n := w.Proxy.Status().ChunksFailed - failed; n > 0 {
			t.Errorf("%d chunks of hot objects failed", n)
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		time.Sleep(time.Minute)
		if n := w.Proxy.Status().ChunksRepaired - before.ChunksRepaired; n != 2*(hot+cold) {
			t.Errorf("%d chunks were put back after all was read, want %d", n, 2*(hot+cold))
		}
		w.NothingUnexplained()
	})
}

// Repair moves no more than its rate.
func TestRepairKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const objects, rate = 20, 1 << 20
		w := New(t, Config{Nodes: 12, Shape: object.Shape{Data: 10, Parity: 2}, Seed: 1, Proxy: func(c *proxy.Config) { c.RepairRate = rate }})
		c := w.Client()
		want := load(t, c, objects, 5<<20) // 5.5 MiB are moved for each
		time.Sleep(5 * time.Second)
		w.Platform.Reclaim(4)
		for range 4 {
			missing(t, c, want)
			time.Sleep(2 * time.Second)
		}
		before := w.Proxy.Status().ChunksRepaired
		began := time.Now()
		time.Sleep(time.Minute)
		n := w.Proxy.Status().ChunksRepaired - before
		t.Logf("%d of %d chunks put back at once, %d in %v", before, objects, n, time.Since(began))
		if before > 8 || n < 8 || n > 12 {
			t.Errorf("%d chunks of %d were put back at once and %d in a minute at 1 MiB/s", before, objects, n)
		}
		time.Sleep(2 * time.Minute)
		if n := w.Proxy.Status().ChunksRepaired; n != objects {
			t.Errorf("%d chunks were put back, want %d", n, objects)
		}
		w.NothingUnexplained()
	})
}

// A stopped node costs readers next to nothing under hedging.
func TestLatencyBesideAStoppedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 14, Shape: object.Shape{Data: 10, Parity: 2}, Linger: time.Minute, Seed: 1})
		functionLinks(t, w, 14, 75_000_000)
		if _, err := w.Net.Script("delay node/*->proxy 500us jitter 3ms"); err != nil {
			t.Fatal(err)
		}
		c := w.Client()
		const objects = 5
		want := load(t, c, objects, 10<<20)
		measure := func() (p50, p99, worst time.Duration) {
			var took []time.Duration
			for i := range 100 {
				key := fmt.Sprint("k", i%objects)
				began := time.Now()
				mustGet(t, c, key, want[key])
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			return took[49], took[98], took[99]
		}
		measure()
		b50, b99, bw := measure()
		goOn := w.Platform.Stop(5)
		defer goOn()
		a50, a99, aw := measure()
		t.Logf("GET of 10 MiB, 100 each: before p50 %v p99 %v worst %v; beside a stopped node p50 %v p99 %v worst %v: p99 x %.2f",
			b50, b99, bw, a50, a99, aw, float64(a99)/float64(b99))
		if a99 > b99*4 || a50 > b50*13/10 {
			t.Errorf("beside a stopped node p50 is %v and p99 %v, before %v and %v", a50, a99, b50, b99)
		}
	})
}
