package simcache

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

// besideSlowNodes has a pool whose nodes send and receive at a rate in bytes a second,
// but for the first slow ones, at a tenth of it.
func besideSlowNodes(t *testing.T, rate, slow int, test func(t *testing.T, w *Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 6, Shape: object.Shape{Data: 4, Parity: 2}, Linger: time.Minute, Seed: 1})
		functionLinks(t, w, 6, rate)
		functionLinks(t, w, slow, rate/10)
		test(t, w)
		w.NothingUnexplained()
	})
}

// A slow node holds up neither a writer nor who reads by the same link: what it did not
// get in time is not sent to it any more.
func TestWritesBesideASlowNode(t *testing.T) {
	besideSlowNodes(t, 25_000_000, 1, func(t *testing.T, w *Cache) {
		c := w.Client()
		want := load(t, c, 4, 10<<20)
		var writes, reads []time.Duration
		var all sync.WaitGroup
		over := make(chan struct{})
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				key := fmt.Sprint("k", i%4)
				began := time.Now()
				mustGet(t, c, key, want[key])
				reads = append(reads, time.Since(began))
			}
		})
		body := content(1, 10<<20)
		for range 40 {
			began := time.Now()
			if _, err := c.PutBytes(t.Context(), "w", body); err != nil {
				t.Fatal(err)
			}
			writes = append(writes, time.Since(began))
		}
		close(over)
		all.Wait()
		slices.Sort(writes)
		slices.Sort(reads)
		t.Logf("PUT of 10 MiB beside a slow node: median %v, worst %v; GET: median %v, worst %v",
			writes[20], writes[39], reads[len(reads)/2], reads[len(reads)-1])
		if writes[39] > time.Second || reads[len(reads)-1] > time.Second {
			t.Errorf("a PUT took %v, a GET %v", writes[39], reads[len(reads)-1])
		}
	})
}

// A chunk may take a slow link longer than a silent one is trusted.
func TestStoreOnSlowLinks(t *testing.T) {
	besideSlowNodes(t, 10_000_000, 2, func(t *testing.T, w *Cache) {
		c := w.Client()
		for range 5 {
			if _, err := c.PutBytes(t.Context(), "w", content(1, 10<<20)); err != nil {
				t.Error(err)
			}
		}
	})
}

// Reads that go on beside a slow node do not come down to its pace: hedges are few, and
// who was slow is not asked again at once.
func TestReadsBesideASlowNode(t *testing.T) {
	const nodes, rate, clients, objects, each = 14, 75_000_000, 4, 8, 100
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: nodes, Shape: object.Shape{Data: 10, Parity: 2}, Linger: time.Minute, Seed: 1})
		functionLinks(t, w, nodes, rate)
		if _, err := w.Net.Script("delay node/*->proxy 500us jitter 3ms"); err != nil {
			t.Fatal(err)
		}
		c := w.Client()
		want := load(t, c, objects, 10<<20)
		measure := func() (p50, p99, all time.Duration) {
			began := time.Now()
			var mu sync.Mutex
			var took []time.Duration
			var readers sync.WaitGroup
			for k := range clients {
				readers.Go(func() {
					for i := range each {
						key := fmt.Sprint("k", (i+k)%objects)
						began := time.Now()
						mustGet(t, c, key, want[key])
						mu.Lock()
						took = append(took, time.Since(began))
						mu.Unlock()
					}
				})
			}
			readers.Wait()
			slices.Sort(took)
			return took[len(took)/2], took[len(took)*99/100], time.Since(began)
		}
		b50, b99, before := measure()
		functionLinks(t, w, 1, rate/10)
		s50, s99, beside := measure()
		t.Logf("%d GETs of 10 MiB: p50 %v, p99 %v, all in %v; beside a slow node p50 %v, p99 %v, all in %v",
			clients*each, b50, b99, before, s50, s99, beside)
		if beside > before*3/2 || s99 > b99*4 {
			t.Errorf("beside a slow node all took %v and p99 is %v, before %v and %v", beside, s99, before, b99)
		}
	})
}
