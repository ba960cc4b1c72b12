package pool_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// pairOf plays instance 1, which holds a chunk of 100 bytes, and instance 2, which
// is fresh, into a pair.
type pairOf struct {
	pair   *pool.Pair
	at     catalog.Place
	s1, s2 *session
	a, b   *end
}

func (r *rig) pairUp() *pairOf {
	r.t.Helper()
	x := &pairOf{}
	r.pool.Seek(0)
	x.s1 = r.invoked()
	x.a, _ = r.join(x.s1, 1, 0, 0)
	x.at = r.keepChunk(x.a, wire.Chunk{Version: 1}, 1)

	made := make(chan error, 1)
	go func() {
		var err error
		x.pair, err = r.pool.Pair(r.t.Context(), 0)
		made <- err
	}()
	x.s2 = r.invoked()
	if x.s2.Session <= x.s1.Session {
		r.t.Errorf("second session is %d, beside %d", x.s2.Session, x.s1.Session)
	}
	// The first must not go before the second is there.
	x.a.send(wire.TypeSleep, 0, 0, &wire.Session{Epoch: x.s1.Epoch, Session: x.s1.Session, Number: 1})
	x.a.want(wire.TypeStay, nil)
	x.b, _ = r.join(x.s2, 2, 0, 0)
	if err := <-made; err != nil {
		r.t.Fatal(err)
	}
	return x
}

// keepChunk stores a chunk of 100 bytes by the stream given.
func (r *rig) keepChunk(e *end, c wire.Chunk, stream uint32) catalog.Place {
	r.t.Helper()
	call, res := r.store(0, c, 100)
	e.want(wire.TypeStore, nil)
	call.Block(wire.Block{}, make([]byte, 100), &owner{})
	e.want(wire.TypeBlock, nil)
	e.done(stream, nil, uint64(cost(100)))
	synctest.Wait()
	if res.err != nil {
		r.t.Fatal(res.err)
	}
	return res.at
}

// copyChunk has the pair copy chunk 1 from a to b, on the streams given.
func (r *rig) copyChunk(x *pairOf, from, to uint32) {
	r.t.Helper()
	done := make(chan error, 1)
	go func() {
		done <- x.pair.Copy(r.t.Context(), pool.First, x.at, wire.Chunk{Version: 1}, 100, record)
	}()
	x.a.want(wire.TypeFetch, nil)
	x.b.want(wire.TypeStore, nil)
	x.a.block(from, wire.Block{Sum: 7}, make([]byte, 100))
	x.a.done(from, nil, 0)
	if f := x.b.want(wire.TypeBlock, nil); len(f.body) != 100 {
		r.t.Errorf("block of %d bytes arrived, want 100", len(f.body))
	}
	x.b.done(to, nil, uint64(cost(100)))
	if err := <-done; err != nil {
		r.t.Fatalf("copy: %v", err)
	}
}

func TestBackupMakesAnotherInstanceAHolder(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		if r.pool.Exposed(0) != 1 {
			t.Errorf("%d chunks exposed before the backup, want 1", r.pool.Exposed(0))
		}
		listed := make(chan error, 1)
		var names []wire.Held
		go func() {
			listed <- x.pair.List(t.Context(), pool.First, func(h wire.Held) { names = append(names, h) })
		}()
		var l wire.List
		f := x.a.want(wire.TypeList, &l)
		x.a.send(wire.TypeHolding, 0, f.Stream, &wire.Holding{Items: []wire.Held{{Chunk: wire.Chunk{Version: 1}, Size: 100, Record: record}}})
		x.a.done(f.Stream, nil, 5)
		if err := <-listed; err != nil || len(names) != 1 || l.After != 0 {
			t.Fatalf("listed %v after %d, %v", names, l.After, err)
		}
		x.a.want(wire.TypeCredit, nil)
		if !x.pair.Lacks(pool.First, x.at.Instance, wire.Chunk{Version: 1}) {
			t.Error("the chunk is not lacking at the other side")
		}
		r.copyChunk(x, 3, 1)
		if r.pool.Exposed(0) != 1 {
			t.Errorf("%d chunks exposed before the claim, want 1", r.pool.Exposed(0))
		}
		x.pair.Claim()
		x.pair.Close()
		if r.pool.Exposed(0) != 0 || x.pair.Lacks(pool.First, x.at.Instance, wire.Chunk{Version: 1}) {
			t.Errorf("%d chunks exposed after the backup, want 0", r.pool.Exposed(0))
		}

		// Both go; whichever is woken has it.
		x.b.send(wire.TypeSleep, 0, 0, &wire.Session{Epoch: x.s2.Epoch, Session: x.s2.Session, Number: 1})
		x.b.want(wire.TypeAsleep, nil)
		x.s2.over <- nil
		r.sleep(x.s1, x.a, 3)
		for _, id := range []byte{2, 2, 2, 1} {
			r.pool.Seek(0)
			s := r.invoked()
			e, number := r.join(s, id, uint64(cost(100)), 1)
			if st := r.pool.State(x.at); st != pool.Ready || number != 0 {
				t.Errorf("chunk is %v with instance %d awake, welcome %d; want ready, 0", st, id, number)
			}
			r.sleep(s, e, 0)
		}
		if slices.Contains(r.lost, x.at.Instance) {
			t.Errorf("lots %v are lost, of which an instance holds %d", r.lost, x.at.Instance)
		}
	})
}

func TestWhatIsStoredDuringABackupIsNotPartOfIt(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		later := r.keepChunk(x.a, wire.Chunk{Version: 2}, 2)
		if later.Instance == x.at.Instance {
			t.Fatal("a chunk stored during a backup is in a lot of before")
		}
		r.copyChunk(x, 3, 1)
		x.pair.Claim()
		if r.pool.Exposed(0) != 1 {
			t.Errorf("%d chunks exposed, want the later one", r.pool.Exposed(0))
		}
		x.pair.Close()
	})
}

func TestInterruptedBackupIsNotCounted(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		done := make(chan error, 1)
		go func() {
			done <- x.pair.Copy(t.Context(), pool.First, x.at, wire.Chunk{Version: 1}, 100, record)
		}()
		x.a.want(wire.TypeFetch, nil)
		x.b.want(wire.TypeStore, nil)
		x.b.nc.Close()
		synctest.Wait()
		time.Sleep(6 * time.Second) // the second one's session is over, too
		x.s2.over <- nil
		if err := <-done; err == nil {
			t.Error("a copy to a link that broke succeeded")
		}
		x.pair.Close()
		if r.pool.Exposed(0) != 1 || r.pool.State(x.at) == pool.Lost {
			t.Errorf("%d exposed, chunk %v", r.pool.Exposed(0), r.pool.State(x.at))
		}
		// Freed now, it dies in both: the other may hold a copy.
		r.pool.Free(x.at, wire.Chunk{Version: 1}, cost(100))
		r.pool.Seek(0)
	})
}

// apart ends a pair, and both sessions, and wakes instance 2 alone.
func (r *rig) apart(x *pairOf) {
	r.t.Helper()
	x.pair.Close()
	x.b.send(wire.TypeSleep, 0, 0, &wire.Session{Epoch: x.s2.Epoch, Session: x.s2.Session})
	x.b.want(wire.TypeAsleep, nil)
	x.s2.over <- nil
	r.sleep(x.s1, x.a, 1)
	r.pool.Seek(0)
	s := r.invoked()
	r.join(s, 2, 0, 0)
	if r.pool.State(x.at) != pool.Unheard {
		r.t.Fatalf("chunk is %v, want unheard", r.pool.State(x.at))
	}
}

func TestUnheardInstanceIsReachedAtTheSecondSeat(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.apart(x)
		r.pool.Seek(0)
		again, _ := r.join(r.invoked(), 1, uint64(cost(100)), 1)
		if r.pool.State(x.at) != pool.Ready {
			t.Errorf("chunk is %v with its holder at the second seat, want ready", r.pool.State(x.at))
		}
		got := &sink{}
		r.pool.Fetch(x.at, wire.Chunk{Version: 1}, 0, 1, 1<<20, lifecycle.Serve, got)
		again.want(wire.TypeFetch, nil)
		again.block(1, wire.Block{}, make([]byte, 100))
		again.done(1, nil, 0)
		synctest.Wait()
		if got.err != nil || len(got.body) != 100 {
			t.Errorf("read %d bytes from the second seat, %v", len(got.body), got.err)
		}
	})
}

func TestUnheardInstanceIsSoughtTwiceAtMost(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.apart(x)
		for try := range 5 {
			r.pool.Seek(0)
			synctest.Wait()
			select {
			case s := <-r.sessions:
				if try >= 2 {
					t.Fatalf("sought %d times, want 2 at most", try+1)
				}
				s.over <- nil // ended without a word
				time.Sleep(10 * time.Second)
			default:
				if try < 2 {
					t.Errorf("not sought the %d. time", try+1)
				}
			}
		}
	})
}

// TestSeekingCountsSessionsOnly: that many readers miss an instance at the same
// time is one try to reach it.
func TestSeekingCountsSessionsOnly(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		x := r.pairUp()
		r.apart(x)
		for try := range 2 {
			for range 5 {
				r.pool.Seek(0)
			}
			r.invoked().over <- nil // ended without a word
			time.Sleep(10 * time.Second)
			if n := len(r.sessions); n > 0 {
				t.Fatalf("try %d began %d sessions more", try, n)
			}
		}
	})
}

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

// An instance that was in a session when the proxy before was killed may return so
// late that the node was given a fresh one meanwhile.
func TestInstanceOfAnEarlierReignIsReached(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		at := catalog.Place{Node: 0, Instance: 7}
		r.pool.Remember(0, 7, []wire.Instance{{1}}, 1)
		r.pool.Seek(0)
		r.join(r.invoked(), 2, 0, 0)
		if r.pool.State(at) != pool.Unheard {
			t.Fatalf("chunk is %v, want unheard", r.pool.State(at))
		}
		r.pool.Seek(0)
		r.join(r.invoked(), 1, uint64(cost(100)), 1)
		if r.pool.State(at) != pool.Ready {
			t.Errorf("chunk is %v, want ready", r.pool.State(at))
		}
	})
}
