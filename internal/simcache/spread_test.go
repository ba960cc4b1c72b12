package simcache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/pool"
)

// A repaired chunk must not share a node with another of its stripe: the next
// reclaim would take both.
func TestRepairKeepsChunksApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 9, Shape: object.Shape{Data: 4, Parity: 2}})
		c := w.Client()
		want := content(1, 4<<20)
		mustPut(t, c, "k", want)
		for round := range 8 {
			w.Platform.Reclaim(holder(w))
			for range 3 {
				time.Sleep(5 * time.Second)
				mustGet(t, c, "k", want)
			}
			holders := 0
			for _, n := range w.Proxy.Status().Nodes {
				if n.Held > pool.Cost(1<<20, 256) {
					t.Fatalf("round %d: node %d holds %d bytes, want one chunk of 1 MiB at most", round, n.Node, n.Held)
				}
				if n.Held > 0 {
					holders++
				}
			}
			if holders != 6 {
				t.Fatalf("round %d: %d nodes hold a chunk, want 6", round, holders)
			}
		}
	})
}

// holder is a node that holds a chunk, in an instance that is there.
func holder(w *Cache) int {
	for _, n := range w.Proxy.Status().Nodes {
		if n.Held > 0 && len(w.Platform.Instances(int(n.Node))) > 0 {
			return int(n.Node)
		}
	}
	return 0
}

// A put is acknowledged when d + p/2, rounded up, chunks of each stripe are kept,
// and not before: with less, the loss of a node or two after it would lose it.
func TestPutNeedsItsQuorum(t *testing.T) {
	for _, tt := range []struct {
		stopped int // of six nodes, for good
		ok      bool
	}{{0, true}, {1, true}, {2, false}} {
		synctest.Test(t, func(t *testing.T) {
			w := New(t, Config{Nodes: 6, Shape: object.Shape{Data: 4, Parity: 2}, Linger: time.Minute})
			c := w.Client()
			mustPut(t, c, "warm", content(1, 4<<20))
			for n := range tt.stopped {
				goOn := w.Platform.Stop(n)
				defer goOn()
			}
			_, err := c.PutBytes(t.Context(), "k", content(2, 4<<20))
			if (err == nil) != tt.ok {
				t.Errorf("with %d of 6 nodes stopped: put %v, want success %v", tt.stopped, err, tt.ok)
			}
		})
	}
}
