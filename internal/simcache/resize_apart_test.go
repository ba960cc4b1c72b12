package simcache

import (
	"testing"
	"testing/synctest"

	"github.com/infinicache/infinicache/internal/object"
)

// TestResizeKeepsChunksApart: where there are as many nodes left as a stripe has
// chunks, each has one of every stripe.
func TestResizeKeepsChunksApart(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			w := New(t, Config{Nodes: 8, Shape: object.Shape{Data: 4, Parity: 2}, Seed: seed})
			load(t, w.Client(), 10, 4<<20)
			resize(t, w, 6)
			nodes := w.Proxy.Status().Nodes
			for _, n := range nodes {
				if n.Held != nodes[0].Held || n.Held == 0 {
					t.Errorf("node %d holds %d bytes, node 0 %d, of objects of one size", n.Node, n.Held, nodes[0].Held)
				}
			}
		})
	}
}
