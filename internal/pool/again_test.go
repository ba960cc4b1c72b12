package pool_test

import (
	"testing"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/wire"
)

// A chunk that is stored again before the node has answered the Store that was
// given up: the late answer must not have the new chunk freed.
func TestStoringAgainWhatWasGivenUp(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, _ *session, e *end, _ catalog.Place) {
		c := wire.Chunk{Version: 1, Index: 3}
		first, _ := r.store(0, c, 300)
		one := e.want(wire.TypeStore, nil)
		first.Block(wire.Block{Chunk: 3}, make([]byte, 300), &owner{})
		e.want(wire.TypeBlock, nil)
		first.Cancel()
		e.want(wire.TypeCancel, nil)
		second, res := r.store(0, c, 300)
		two := e.want(wire.TypeStore, nil)
		second.Block(wire.Block{Chunk: 3}, make([]byte, 300), &owner{})
		e.want(wire.TypeBlock, nil)
		e.done(one.Stream, nil, uint64(cost(300))) // it had all blocks before the CANCEL
		e.done(two.Stream, nil, uint64(cost(300))) // which replaced the first
		if f := e.next(); f.Type != 0 {
			var m wire.Free
			_ = m.Decode(f.meta)
			t.Errorf("got %v %v after the chunk was kept at %v", f.Type, m.Chunks, res.at)
		}
		if res.err != nil || res.times != 1 {
			t.Errorf("done %d times: %v", res.times, res.err)
		}
	})
}
