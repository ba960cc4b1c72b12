package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// TestClaimCountsWhatWasCopied: a chunk that was stored before a pair was made, but
// not copied, because nothing named it yet, keeps its lot out of the claim.
func TestClaimCountsWhatWasCopied(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		x.pair.Claim() // nothing was copied
		if got := r.pool.Exposed(0); got != 1 {
			t.Errorf("%d chunks exposed after a claim without a copy, want 1", got)
		}
		r.copyChunk(x, 2, 1)
		x.pair.Claim()
		if got := r.pool.Exposed(0); got != 0 {
			t.Errorf("%d chunks exposed after the copy, want 0", got)
		}
		x.pair.Close()
	})
}

// TestCopiesAreRememberedAcrossPairs: what an interrupted backup copied is not
// copied again, dies with its original, and counts.
func TestCopiesAreRememberedAcrossPairs(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.copyChunk(x, 2, 1)
		if x.pair.Lacks(pool.First, x.at.Instance, wire.Chunk{Version: 1}) {
			t.Error("a chunk that was copied is lacking")
		}
		r.pool.Free(x.at, wire.Chunk{Version: 1}, cost(100))
		var f wire.Free
		x.b.want(wire.TypeFree, &f)
		if len(f.Chunks) != 1 || f.Chunks[0].Version != 1 {
			t.Errorf("freed %v in the other instance, want chunk 1", f.Chunks)
		}
		x.pair.Close()
	})
}

// TestCopiesOfALostLotDie: the instance that held the original is lost before a
// backup is complete.
func TestCopiesOfALostLotDie(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.copyChunk(x, 2, 1)
		x.s1.over <- &platform.Error{Kind: platform.Exited}
		x.pair.Close()
		synctest.Wait()
		if st := r.pool.State(x.at); st != pool.Lost {
			t.Fatalf("chunk is %v, want lost", st)
		}
		x.b.send(wire.TypeSleep, 0, 0, &wire.Session{Epoch: x.s2.Epoch, Session: x.s2.Session, Number: 1})
		for x.b.next().Type != wire.TypeAsleep {
		}
		x.s2.over <- nil
		time.Sleep(10 * time.Second)
		r.pool.Seek(0)
		e, _ := r.join(r.invoked(), 2, uint64(cost(100)), 1)
		var f wire.Free
		e.want(wire.TypeFree, &f)
		if len(f.Chunks) != 1 || f.Chunks[0].Version != 1 {
			t.Errorf("freed %v, want chunk 1", f.Chunks)
		}
	})
}

// TestListBeginsBelowWhatWasStoredMeanwhile: what an instance stored while the last
// backup was made has any position above that of its hello.
func TestListBeginsBelowWhatWasStoredMeanwhile(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.keepChunk(x.a, wire.Chunk{Version: 2}, 2)
		r.copyChunk(x, 3, 1)
		x.pair.Claim()
		x.pair.Close()
		pair, err := r.pool.Pair(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer pair.Close()
		listed := make(chan error, 1)
		go func() { listed <- pair.List(t.Context(), pool.First, func(wire.Held) {}) }()
		var l wire.List
		f := x.a.want(wire.TypeList, &l)
		x.a.done(f.Stream, nil, 7)
		if err := <-listed; err != nil || l.After != 0 {
			t.Errorf("listed after position %d, want 0; %v", l.After, err)
		}
		if err := pair.List(t.Context(), pool.Second, nil); err != nil {
			t.Errorf("list of the side that has nothing of its own: %v", err)
		}
	})
}

// TestFreshSecondInstanceIsGivenWhatTheLostOneHeld, though nothing else says yet that
// the one before it is lost.
func TestFreshSecondInstanceIsGivenWhatTheLostOneHeld(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.copyChunk(x, 2, 1)
		x.pair.Claim()
		x.pair.Close()
		x.b.send(wire.TypeSleep, 0, 0, &wire.Session{Epoch: x.s2.Epoch, Session: x.s2.Session, Number: 1})
		x.b.want(wire.TypeAsleep, nil)
		x.s2.over <- nil
		synctest.Wait()
		if got := r.pool.Exposed(0); got != 0 {
			t.Errorf("%d chunks exposed, of which two instances hold all", got)
		}
		made := make(chan *pool.Pair, 1)
		go func() {
			pair, err := r.pool.Pair(t.Context(), 0)
			if err != nil {
				t.Error(err)
			}
			made <- pair
		}()
		r.join(r.invoked(), 3, 0, 0)
		pair := <-made
		if got := r.pool.Exposed(0); got != 1 || !pair.Lacks(pool.First, x.at.Instance, wire.Chunk{Version: 1}) {
			t.Errorf("%d chunks exposed beside a fresh second instance, want 1", got)
		}
		pair.Close()
	})
}
