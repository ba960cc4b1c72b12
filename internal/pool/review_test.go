package pool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// TestCallForAnInstanceThatLeftCanBeCancelled: a request waits for an instance
// whose link turns out to be broken; another instance speaks then, and has not
// answered when the asker gives up.
func TestCallForAnInstanceThatLeftCanBeCancelled(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		time.Sleep(time.Minute) // the links are not trusted any more
		ctx, cancel := context.WithCancel(t.Context())
		listed := make(chan error, 1)
		go func() {
			_, err := r.pool.List(ctx, 0, wire.Instance{2}, 0, lifecycle.Backup, func(wire.Held) {})
			listed <- err
		}()
		x.b.want(wire.TypePing, nil)
		time.Sleep(1200 * time.Millisecond) // no pong
		x.s2.over <- nil
		e, _ := r.join(r.invoked(), 3, 0, 0)
		e.want(wire.TypeFree, nil) // in its place
		cancel()
		if err := <-listed; err == nil {
			t.Error("listed what another instance holds")
		}
		x.pair.Close()
	})
}

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
