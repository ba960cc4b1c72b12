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
