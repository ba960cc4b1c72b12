package pool_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestStoreIsBooked(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, _ *session, e *end, _ catalog.Place) {
		c := wire.Chunk{Version: 1}
		call, res := r.store(0, c, 300)
		r.books(0, 0, 0, cost(300))
		var m wire.Store
		f := e.want(wire.TypeStore, &m)
		if m.Chunk != c || m.Size != 300 || string(m.Record) != string(record) {
			t.Errorf("asked for %+v", m)
		}
		o := &owner{}
		call.Block(wire.Block{}, make([]byte, 300), o)
		if got := e.want(wire.TypeBlock, nil); got.Stream != f.Stream || len(got.body) != 300 || o.released != 1 {
			t.Errorf("block of %d bytes on stream %d, released %d times", len(got.body), got.Stream, o.released)
		}
		e.done(f.Stream, nil, uint64(cost(300)))
		r.books(0, cost(300), 0, 0)
		if res.times != 1 || res.err != nil || res.at != (catalog.Place{Node: 0, Instance: 1}) {
			t.Errorf("done %d times at %v: %v", res.times, res.at, res.err)
		}
		_, res = r.store(0, wire.Chunk{Version: 2}, 300)
		f = e.want(wire.TypeStore, nil)
		e.done(f.Stream, wire.ErrFull, 0)
		r.books(0, cost(300), 0, 0)
		if wire.CodeOf(res.err) != wire.CodeFull {
			t.Errorf("refused: %v", res.err)
		}
	})
}

func TestReserveStaysWithinCapacity(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		if r.pool.Reserve(0, 10<<20+1) || !r.pool.Reserve(0, 6<<20) || r.pool.Reserve(0, 6<<20) {
			t.Error("reserved other than the 10 MiB there are")
		}
		r.pool.Unreserve(0, 6<<20)
		r.books(0, 0, 0, 0)
	})
}

// A store that its asker gave up and the node kept is let go of, though nobody
// asks for room.
func TestStoreKeptAfterItsCancelIsFreed(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, _ *session, e *end, _ catalog.Place) {
		c := wire.Chunk{Version: 1, Index: 3}
		call, res := r.store(0, c, 300)
		f := e.want(wire.TypeStore, nil)
		call.Cancel()
		e.want(wire.TypeCancel, nil)
		r.books(0, 0, 0, cost(300)) // the node has not answered
		e.done(f.Stream, nil, uint64(cost(300)))
		r.books(0, cost(300), cost(300), 0)
		var m wire.Free
		f = e.want(wire.TypeFree, &m)
		if len(m.Chunks) != 1 || m.Chunks[0] != c {
			t.Errorf("freed %v, want %v", m.Chunks, c)
		}
		e.done(f.Stream, nil, 0)
		r.books(0, 0, 0, 0)
		if res.times != 1 || wire.CodeOf(res.err) != wire.CodeCanceled {
			t.Errorf("done %d times: %v", res.times, res.err)
		}
	})
}

// Whether a store or a free that a broken link cut short was carried out is not
// known: it counts until the instance says what it uses.
func TestBooksAreRightAfterABrokenLink(t *testing.T) {
	for name, kept := range map[string]bool{"store not carried out": false, "store carried out": true} {
		t.Run(name, func(t *testing.T) {
			awake(t, func(t *testing.T, r *rig, s *session, e *end, _ catalog.Place) {
				c := wire.Chunk{Version: 1}
				_, res := r.store(0, c, 300)
				e.want(wire.TypeStore, nil)
				e.nc.Close()
				synctest.Wait()
				r.books(0, cost(300), cost(300), 0)
				if res.times != 1 || res.err == nil {
					t.Errorf("done %d times: %v", res.times, res.err)
				}
				used := int64(0)
				if kept {
					used = cost(300)
				}
				e2, _ := r.join(s, 1, uint64(used), 0)
				r.books(0, used, cost(300), 0)
				f := e2.want(wire.TypeFree, nil)
				e2.done(f.Stream, nil, 0)
				r.books(0, 0, 0, 0)
			})
		})
	}
}

// A FREE's answer counts the stores that came before it, and not those after.
func TestFreeAmidStores(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, _ *session, e *end, at catalog.Place) {
		r.store(0, wire.Chunk{Version: 1}, 1000)
		first := e.want(wire.TypeStore, nil)
		r.pool.Free(at, wire.Chunk{Version: 9}, cost(5000))
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		free := e.want(wire.TypeFree, nil)
		r.store(0, wire.Chunk{Version: 2}, 2000)
		second := e.want(wire.TypeStore, nil)
		e.done(free.Stream, nil, uint64(cost(1000)+cost(77))) // staged, and one more chunk
		r.books(0, cost(77), 0, cost(1000)+cost(2000))
		e.done(first.Stream, nil, 0)
		e.done(second.Stream, nil, 0)
		r.books(0, cost(77)+cost(1000)+cost(2000), 0, 0)
	})
}

// A chunk that is stored again where it was dead lives.
func TestStoringADeadChunkAgain(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, s *session, e *end, at catalog.Place) {
		c := wire.Chunk{Version: 1}
		r.sleep(s, e, 0)
		r.pool.Free(at, c, cost(300)) // hears of it when it is awake
		r.books(0, 0, cost(300), 0)
		r.pool.Seek(0)
		s = r.invoked()
		r.store(0, c, 300)
		e.send(wire.TypeHello, 0, 0, s.hello(1, uint64(cost(300)), 1))
		e.want(wire.TypeWelcome, nil)
		free := e.want(wire.TypeFree, nil)
		store := e.want(wire.TypeStore, nil)
		e.done(free.Stream, nil, uint64(0))
		e.done(store.Stream, nil, 0)
		r.books(0, cost(300), 0, 0)

		r.pool.Free(at, c, cost(300))
		r.store(0, c, 300) // before the FREE is sent
		store = e.want(wire.TypeStore, nil)
		e.done(store.Stream, nil, 0)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		_ = e.nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, _ := e.nc.Read(make([]byte, 1)); n > 0 {
			t.Error("the live chunk is freed")
		}
	})
}

// What one instance is to let go of is not asked of another that speaks instead.
func TestFreesBelongToTheirInstance(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, s *session, e *end, at catalog.Place) {
		r.store(0, wire.Chunk{Version: 1}, 300)
		store := e.want(wire.TypeStore, nil)
		e.done(store.Stream, nil, 0)
		r.books(0, cost(300), 0, 0)
		r.sleep(s, e, 1)
		r.pool.Free(at, wire.Chunk{Version: 1}, cost(300))

		flushed := make(chan error, 1)
		go func() { flushed <- r.pool.Flush(t.Context(), 0) }()
		s = r.invoked()
		e2, _ := r.join(s, 2, 0, 0) // a fresh one
		var m wire.Free
		free := e2.want(wire.TypeFree, &m)
		if len(m.Chunks) != 1 || m.Chunks[0] == (wire.Chunk{Version: 1}) {
			t.Errorf("the second instance is asked to free %v", m.Chunks)
		}
		e2.done(free.Stream, nil, 0)
		if err := <-flushed; err != nil {
			t.Errorf("flush: %v", err)
		}
		r.books(0, 0, 0, 0)
		r.sleep(s, e2, 1)

		r.pool.Seek(0)
		s = r.invoked()
		e, _ = r.join(s, 1, uint64(cost(300)), 1) // the first again
		free = e.want(wire.TypeFree, &m)
		if len(m.Chunks) != 1 || m.Chunks[0] != (wire.Chunk{Version: 1}) {
			t.Errorf("the first instance is asked to free %v", m.Chunks)
		}
		r.books(0, cost(300), cost(300), 0)
		e.done(free.Stream, nil, 0)
		r.books(0, 0, 0, 0)
	})
}

func TestFlush(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, s *session, e *end, at catalog.Place) {
		if err := r.pool.Flush(t.Context(), 0); err != nil {
			t.Errorf("flush of nothing: %v", err)
		}
		const many = wire.MaxFrees + 10
		r.sleep(s, e, 0)
		for i := range many {
			r.pool.Free(at, wire.Chunk{Version: uint64(i + 1)}, 10)
		}
		r.pool.Free(at, wire.Chunk{Version: 1}, 10) // once is enough
		r.books(0, 0, many*10, 0)
		flushed := make(chan error, 1)
		go func() { flushed <- r.pool.Flush(t.Context(), 0) }()
		s = r.invoked()
		e.send(wire.TypeHello, 0, 0, s.hello(1, many*10, many))
		e.want(wire.TypeWelcome, nil)
		seen := map[wire.Chunk]bool{}
		for _, left := range []uint64{100, 0} {
			var m wire.Free
			f := e.want(wire.TypeFree, &m)
			for _, c := range m.Chunks {
				seen[c] = true
			}
			e.done(f.Stream, nil, left)
		}
		if err := <-flushed; err != nil || len(seen) != many {
			t.Errorf("flush: %v, %d of %d chunks freed", err, len(seen), many)
		}
		r.books(0, 0, 0, 0)

		r.pool.Free(at, wire.Chunk{Version: 1}, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.pool.Flush(ctx, 0); err == nil {
			t.Error("flush of a node that does not answer succeeded")
		}
	})
}

// Whatever ends a link, each call on it ends once and every block is released.
func TestCallsEndOnceAndBlocksAreReleased(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, s *session, e *end, at catalog.Place) {
		var calls []*stored
		var owners []*owner
		var sinks []*sink
		for i := range 20 {
			call, res := r.store(0, wire.Chunk{Version: uint64(i + 1)}, 3*wire.BlockSize/2)
			calls = append(calls, res)
			for k := range uint32(2) {
				o := &owner{}
				owners = append(owners, o)
				call.Block(wire.Block{Index: k}, make([]byte, wire.BlockSize/(1+int(k))), o)
			}
			got := &sink{}
			sinks = append(sinks, got)
			fetch := r.pool.Fetch(at, wire.Chunk{Version: 99}, 0, 1, 1<<20, lifecycle.Serve, got)
			if i%3 == 0 {
				call.Cancel()
			}
			if i%5 == 0 {
				fetch.Cancel()
				got.ended = 1 // nobody is told
			}
			if i == 10 {
				s.over <- nil // the session ends without a word
				synctest.Wait()
			}
		}
		e.nc.Close()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i, c := range calls {
			if c.times != 1 || c.err == nil {
				t.Errorf("store %d: done %d times, %v", i, c.times, c.err)
			}
			if sinks[i].ended != 1 {
				t.Errorf("fetch %d: %d ends", i, sinks[i].ended)
			}
		}
		for i, o := range owners {
			if o.released != 1 {
				t.Errorf("block %d: released %d times", i, o.released)
			}
		}
		if st := r.pool.Status()[0]; st.Reserved != 0 || st.Queued != 0 || st.InFlight != 0 {
			t.Errorf("%d reserved, %d queued, %d in flight", st.Reserved, st.Queued, st.InFlight)
		}
	})
}
