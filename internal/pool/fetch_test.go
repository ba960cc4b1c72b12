package pool_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// awake is a rig of one node that is awake; place is a chunk's of its instance.
func awake(t *testing.T, test func(t *testing.T, r *rig, s *session, e *end, at catalog.Place)) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.pool.Seek(0)
		s := r.invoked()
		e, _ := r.join(s, 1, 0, 0)
		test(t, r, s, e, catalog.Place{Node: 0, Instance: 1})
	})
}

func TestFetch(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, _ *session, e *end, at catalog.Place) {
		c := wire.Chunk{Version: 3, Stripe: 2, Index: 1}
		one, two := bytes.Repeat([]byte("a"), wire.BlockSize), []byte("bb")
		for name, try := range map[string]struct {
			blocks []wire.Block
			answer error
			want   wire.Code
			bytes  int
		}{
			"whole":             {[]wire.Block{{Stripe: 2, Chunk: 1, Index: 4}, {Stripe: 2, Chunk: 1, Index: 5}}, nil, 0, len(one) + len(two)},
			"too short":         {[]wire.Block{{Stripe: 2, Chunk: 1, Index: 4}}, nil, wire.CodeShort, len(one)},
			"blocks swapped":    {[]wire.Block{{Stripe: 2, Chunk: 1, Index: 5}, {Stripe: 2, Chunk: 1, Index: 4}}, nil, wire.CodeShort, len(two)}, // the first is not let through
			"another's block":   {[]wire.Block{{Stripe: 3, Chunk: 1, Index: 4}}, nil, wire.CodeShort, 0},
			"block not wanted":  {[]wire.Block{{Stripe: 2, Chunk: 1, Index: 4}, {Stripe: 2, Chunk: 1, Index: 5}, {Stripe: 2, Chunk: 1, Index: 6}}, nil, 0, len(one) + len(two)},
			"denied":            {nil, wire.ErrNotHeld, wire.CodeNotHeld, 0},
			"failed in between": {[]wire.Block{{Stripe: 2, Chunk: 1, Index: 4}}, wire.ErrInternal, wire.CodeInternal, len(one)},
		} {
			got := &sink{}
			r.pool.Fetch(at, c, 4, 6, 1<<20, lifecycle.Serve, got)
			var m wire.Fetch
			f := e.want(wire.TypeFetch, &m)
			if m.Chunk != c || m.From != 4 || m.To != 6 || m.Credit != 1<<20 {
				t.Errorf("%s: asked for %+v", name, m)
			}
			for i, b := range try.blocks {
				e.block(f.Stream, b, [][]byte{one, two, two}[i])
			}
			e.done(f.Stream, try.answer, 0)
			e.done(f.Stream, nil, 0) // once is enough
			synctest.Wait()
			if wire.CodeOf(got.err) != try.want || len(got.body) != try.bytes || got.ended != 1 {
				t.Errorf("%s: %d bytes, error %v, %d ends; want %d, %v, 1", name, len(got.body), got.err, got.ended, try.bytes, try.want)
			}
		}
	})
}

func TestFetchPassesCreditOn(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.pool.Seek(0)
		s := r.invoked()
		e, _ := r.join(s, 1, 0, 0)
		r.sleep(s, e, 0)
		got := &sink{}
		call := r.pool.Fetch(catalog.Place{Instance: 1}, wire.Chunk{Version: 1}, 0, 8, 100, lifecycle.Serve, got)
		call.Credit(50) // before it is sent
		s = r.invoked()
		e.send(wire.TypeHello, 0, 0, s.hello(1, 0, 0)) // on the kept link
		e.want(wire.TypeWelcome, nil)
		var m wire.Fetch
		f := e.want(wire.TypeFetch, &m)
		if m.Credit != 150 {
			t.Errorf("credit %d, want 150", m.Credit)
		}
		call.Credit(25)
		var c wire.Credit
		if g := e.want(wire.TypeCredit, &c); c.Bytes != 25 || g.Stream != f.Stream {
			t.Errorf("credit of %d on stream %d", c.Bytes, g.Stream)
		}
		call.Cancel()
		e.want(wire.TypeCancel, nil)
		call.Credit(25)
		e.block(f.Stream, wire.Block{}, []byte("late"))
		e.done(f.Stream, wire.ErrCanceled, 0)
		synctest.Wait()
		if got.ended != 0 || got.body != nil || r.pool.Status()[0].InFlight != 0 {
			t.Errorf("after cancel: %d ends, %d bytes, %d in flight", got.ended, len(got.body), r.pool.Status()[0].InFlight)
		}
	})
}

// A node that was much later than others which a read asked together with it is not the
// first choice for a while.
func TestSlowNodeIsNotReady(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name          string
		answers, over time.Duration // of the second node, 0: not before the read is over
		want          pool.State
	}{
		{"given up, hardly later", 0, 140 * ms, pool.Ready},
		{"given up, later by half", 0, 160 * ms, pool.Asleep},
		{"answers", 280 * ms, 280 * ms, pool.Ready},
		{"answers late", 320 * ms, 320 * ms, pool.Asleep},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 2, func(t *testing.T, r *rig) {
				var ends [2]*end
				calls := make([]*pool.Call, 3) // one of them of no chunk
				at := func(n int) catalog.Place { return catalog.Place{Node: uint32(n), Instance: uint32(n + 1)} }
				for n := range ends {
					r.pool.Seek(uint32(n))
					ends[n], _ = r.join(r.invoked(), byte(n+1), 0, 0)
				}
				for n := range ends {
					calls[n] = r.pool.Fetch(at(n), wire.Chunk{Version: 1, Index: uint16(n)}, 0, 1, 1<<20, lifecycle.Serve, &sink{})
				}
				answer := func(n int) {
					t.Helper()
					f := ends[n].want(wire.TypeFetch, nil)
					ends[n].block(f.Stream, wire.Block{Chunk: uint16(n)}, []byte("a"))
					ends[n].done(f.Stream, nil, 0)
					synctest.Wait()
				}
				time.Sleep(100 * ms)
				answer(0)
				time.Sleep(tt.over - 100*ms)
				if tt.answers != 0 {
					answer(1)
				}
				pool.EndRead(calls)
				if tt.answers == 0 {
					answer(1) // too late
				}
				state := func(want pool.State) {
					t.Helper()
					if first, got := r.pool.State(at(0)), r.pool.State(at(1)); first != pool.Ready || got != want {
						t.Errorf("the nodes are %v and %v, want ready and %v", first, got, want)
					}
				}
				state(tt.want)
				time.Sleep(9 * time.Second)
				state(tt.want)
				time.Sleep(2 * time.Second)
				state(pool.Ready)
			})
		})
	}
}

// A node that was slow is a first choice again as soon as it takes about as long as
// others do.
func TestNodeThatIsFastAgainIsReady(t *testing.T) {
	const ms = time.Millisecond
	for took, want := range map[time.Duration]pool.State{90 * ms: pool.Ready, 140 * ms: pool.Ready, 160 * ms: pool.Asleep} {
		bubble(t, 2, func(t *testing.T, r *rig) {
			var ends [2]*end
			at := func(n int) catalog.Place { return catalog.Place{Node: uint32(n), Instance: uint32(n + 1)} }
			for n := range ends {
				r.pool.Seek(uint32(n))
				ends[n], _ = r.join(r.invoked(), byte(n+1), 0, 0)
			}
			for _, second := range []time.Duration{400 * ms, took} { // the first node takes 100 ms
				calls := make([]*pool.Call, len(ends))
				for n := range ends {
					calls[n] = r.pool.Fetch(at(n), wire.Chunk{Version: 1, Index: uint16(n)}, 0, 1, 1<<20, lifecycle.Serve, &sink{})
				}
				answer := func(n int) {
					t.Helper()
					f := ends[n].want(wire.TypeFetch, nil)
					ends[n].block(f.Stream, wire.Block{Chunk: uint16(n)}, []byte("a"))
					ends[n].done(f.Stream, nil, 0)
					synctest.Wait()
				}
				order, first := []int{0, 1}, 100*ms
				if second < first {
					order, first, second = []int{1, 0}, second, first
				}
				time.Sleep(first)
				answer(order[0])
				time.Sleep(second - first)
				answer(order[1])
				pool.EndRead(calls)
			}
			if got := r.pool.State(at(1)); got != want {
				t.Errorf("after %v the node is %v, want %v", took, got, want)
			}
		})
	}
}

func TestLinkCutInMidBlock(t *testing.T) {
	awake(t, func(t *testing.T, r *rig, s *session, e *end, at catalog.Place) {
		got := &sink{}
		r.pool.Fetch(at, wire.Chunk{Version: 1}, 0, 1, 1<<20, lifecycle.Serve, got)
		f := e.want(wire.TypeFetch, nil)
		var head [wire.HeaderSize + wire.BlockMetaSize]byte
		wire.Header{Type: wire.TypeBlock, Stream: f.Stream, Meta: wire.BlockMetaSize, Body: 1000}.Put(head[:])
		_, _ = e.nc.Write(append(head[:], 1, 2, 3))
		e.nc.Close()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got.bad != 1 || got.ended != 1 || got.err == nil {
			t.Errorf("%d bad blocks, %d ends, error %v; want 1, 1 and an error", got.bad, got.ended, got.err)
		}
		// The same instance on a new link goes on in the same session.
		e2, number := r.join(s, 1, 0, 0)
		r.pool.Fetch(at, wire.Chunk{Version: 1}, 0, 1, 1<<20, lifecycle.Serve, &sink{})
		e2.want(wire.TypeFetch, nil)
		if number != 0 {
			t.Errorf("welcome %d, want 0", number)
		}
	})
}

func TestCancelOfAQueuedCallTellsNobodyButAStore(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		call, res := r.store(0, wire.Chunk{Version: 1}, 100)
		kept := &owner{}
		call.Block(wire.Block{}, make([]byte, 100), kept)
		s := r.invoked()
		call.Cancel()
		call.Cancel()
		late := &owner{}
		call.Block(wire.Block{}, make([]byte, 100), late)
		if res.times != 1 || wire.CodeOf(res.err) != wire.CodeCanceled || kept.released != 1 || late.released != 1 {
			t.Errorf("done %d times with %v, blocks released %d and %d times", res.times, res.err, kept.released, late.released)
		}
		e, _ := r.join(s, 1, 0, 0)
		r.books(0, 0, 0, 0)
		r.sleep(s, e, 0)
	})
}

func TestNodeThatCannotBeWokenFailsWhatWaits(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		_, res := r.store(0, wire.Chunk{Version: 1}, 100)
		r.invoked() // and never joins
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if res.times != 1 || wire.CodeOf(res.err) != wire.CodeTimeout {
			t.Errorf("done %d times, %v, want timed out", res.times, res.err)
		}
		if s := r.pool.Status()[0]; s.Reserved != 0 || s.Queued != 0 {
			t.Errorf("%d reserved, %d queued", s.Reserved, s.Queued)
		}
	})
}
