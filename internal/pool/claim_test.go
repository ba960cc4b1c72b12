package pool_test

import (
	"testing"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// TestClaimWantsEveryChunk: of two chunks of a lot one was copied.
func TestClaimWantsEveryChunk(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		at := r.keepChunk(x.a, wire.Chunk{Version: 2}, 2)
		if other := r.keepChunk(x.a, wire.Chunk{Version: 3}, 3); other != at {
			t.Fatalf("chunks are at %v and %v, want one lot", at, other)
		}
		x.pair.Close()
		again, err := r.pool.Pair(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for k, exposed := range []int{3, 1} { // the first lot was never copied
			r.copyTo(x, again, at, wire.Chunk{Version: uint64(2 + k)}, uint32(4+k), uint32(1+k))
			again.Claim()
			if got := r.pool.Exposed(0); got != exposed {
				t.Errorf("%d chunks exposed after a claim with %d of 2 copied, want %d", got, k+1, exposed)
			}
		}
		again.Close()
	})
}

// copyTo has a pair copy a chunk of 100 bytes from a to b, on the streams given.
func (r *rig) copyTo(x *pairOf, pair *pool.Pair, at catalog.Place, c wire.Chunk, from, to uint32) {
	r.t.Helper()
	done := make(chan error, 1)
	go func() { done <- pair.Copy(r.t.Context(), pool.First, at, c, 100, record) }()
	x.a.want(wire.TypeFetch, nil)
	var s wire.Store
	x.b.want(wire.TypeStore, &s)
	if s.Chunk != c {
		r.t.Errorf("chunk %v is stored as %v", c, s.Chunk)
	}
	x.a.block(from, wire.Block{Sum: 7}, make([]byte, 100))
	x.a.done(from, nil, 0)
	x.b.want(wire.TypeBlock, nil)
	x.b.done(to, nil, uint64(cost(100)))
	if err := <-done; err != nil {
		r.t.Fatalf("copy: %v", err)
	}
}

func TestFreedChunkDiesInBothInstances(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.copyChunk(x, 2, 1)
		x.pair.Claim()
		r.pool.Free(x.at, wire.Chunk{Version: 1}, cost(100))
		for _, e := range []*end{x.a, x.b} {
			var f wire.Free
			e.want(wire.TypeFree, &f)
			if len(f.Chunks) != 1 || f.Chunks[0].Version != 1 {
				t.Errorf("freed %v, want chunk 1", f.Chunks)
			}
		}
		x.pair.Close()
	})
}

func TestNodeThatLeavesTakesNothing(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		for _, leaves := range []bool{true, false} {
			r.pool.Leave(1, leaves)
			if c := r.pool.Candidates(); (len(c) == 1) != leaves || c[0].Node != 0 {
				t.Errorf("leaves %v: candidates %+v", leaves, c)
			}
			if r.pool.Reserve(1, 10) == leaves {
				t.Errorf("leaves %v: reserving is %v", leaves, !leaves)
			}
		}
		r.pool.Unreserve(1, 10)
	})
}
