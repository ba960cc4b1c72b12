package pool_test

import (
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// A node is in use by what is promised there, and by what was stored and not freed.
func TestUsedUntilFreed(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, _ *session, e *end, _ catalog.Place) {
		used := func(when string, promised int64, chunks int) {
			t.Helper()
			if p, c := r.pool.Used(0); p != promised || c != chunks {
				t.Errorf("%s: %d bytes promised, %d chunks, want %d, %d", when, p, c, promised, chunks)
			}
		}
		c := wire.Chunk{Version: 1}
		_, before := r.pool.Used(0)
		call, res := r.store(0, c, 300)
		used("while it is stored", cost(300), before)
		f := e.want(wire.TypeStore, nil)
		call.Block(wire.Block{}, make([]byte, 300), &owner{})
		e.want(wire.TypeBlock, nil)
		e.done(f.Stream, nil, uint64(cost(300)))
		r.books(0, cost(300), 0, 0)
		used("when it is stored", 0, before+1)
		r.pool.Free(res.at, c, cost(300))
		used("when it is freed", 0, before)
	})
}

// A node that is admitted is a fresh one, but for its session numbers: an instance
// that slept meanwhile is forgotten without being lost, and drops what it holds.
func TestAdmitForgetsOldInstances(t *testing.T) {
	bubbleWith(t, pool.Config{Nodes: 2, Adopt: true}, func(t *testing.T, r *rig) {
		time.Sleep(time.Second)
		r.pool.Seek(1)
		s := r.invoked()
		e, _ := r.join(s, 1, 0, 0)
		r.sleep(s, e, 0)
		r.pool.Admit(1) // nothing to forget
		if n := r.pool.Status()[1].Instances; n != 1 {
			t.Errorf("a node that is not drained knows %d instances after it was admitted, want 1", n)
		}
		r.pool.Emptied(1)
		if r.pool.Drained(1) {
			t.Error("a node that does not leave is drained")
		}
		r.pool.Leave(1, true)
		r.pool.Emptied(1)
		if s := r.pool.Status()[1]; !r.pool.Drained(1) || s.State != "drained" || r.pool.Reserve(1, 10) || r.pool.Lasting() != 1 {
			t.Errorf("a drained node: %+v", s)
		}
		r.pool.Admit(1)
		if s := r.pool.Status()[1]; r.pool.Drained(1) || s.State != "asleep" || s.Instances != 0 || r.pool.InstancesLost() != 0 || r.pool.Lasting() != 2 {
			t.Errorf("%d instances are lost by the admission of a node: %+v", r.pool.InstancesLost(), s)
		}
		r.pool.Seek(1)
		again := r.invoked()
		if again.Session <= s.Session {
			t.Errorf("session %d after session %d", again.Session, s.Session)
		}
		if _, welcome := r.join(again, 1, 100, 1); welcome != 1 {
			t.Error("an instance from before the drain may keep what it holds")
		}
		r.books(1, 0, 0, 0)
	})
}

// An instance that is in session when its node is admitted stays known.
func TestAdmitKeepsInstanceInSession(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, _ *session, e *end, _ catalog.Place) {
		r.pool.Leave(0, true)
		r.pool.Emptied(0)
		r.pool.Admit(0)
		_, res := r.store(0, wire.Chunk{Version: 1}, 300)
		f := e.want(wire.TypeStore, nil)
		e.done(f.Stream, nil, 0)
		r.books(0, cost(300), 0, 0)
		if res.err != nil || r.pool.State(res.at) != pool.Ready {
			t.Errorf("stored at %v, %v: %v", res.at, r.pool.State(res.at), res.err)
		}
	})
}
