package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

func TestRoundTrips(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		var used uint64
		sizes := []int{1, 1000, 32 << 10, wire.BlockSize - 1, wire.BlockSize, wire.BlockSize + 1, 1 << 20, 3<<20 + 77}
		for i, size := range sizes {
			used += cost(size)
			if got := p.put(uint64(i+1), size); got != used {
				t.Errorf("after a chunk of %d bytes %d are used, want %d", size, got, used)
			}
		}
		for i, size := range sizes {
			p.get(uint64(i+1), size)
		}
		s := p.beginFetch(7, 1, 3, wire.StreamCredit)
		p.block(s, 7, content(7, 1<<20), 1)
		p.block(s, 7, content(7, 1<<20), 2)
		p.done(s, wire.CodeOK)
		for i, size := range sizes {
			c := chunkOf(uint64(i + 1))
			if i%2 == 0 {
				c.Stripe, c.Index = wire.WholeVersion, 0
			}
			used -= cost(size)
			if got := p.freeChunks(c, chunkOf(999)); got != used {
				t.Errorf("after freeing %d bytes %d are used, want %d", size, got, used)
			}
		}
		p.done(p.beginFetch(1, 0, 1, wire.StreamCredit), wire.CodeNotHeld)
		p.sleep(uint64(3*len(sizes)+2), returned)
	})
}

func TestFetchOfWhatIsNotThere(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 300_000)
		p.done(p.beginFetch(2, 0, 1, wire.StreamCredit), wire.CodeNotHeld)
		p.done(p.beginFetch(1, 0, 3, wire.StreamCredit), wire.CodeRequest)
		p.done(p.beginFetch(1, 2, 3, wire.StreamCredit), wire.CodeRequest)
		s := p.beginStore(3, 1000)
		p.done(p.beginFetch(3, 0, 1, wire.StreamCredit), wire.CodeNotHeld) // staged only
		p.sendBlock(s, 3, content(3, 1000), 0)
		p.done(s, wire.CodeOK)
		p.get(3, 1000)
		p.sleep(7, returned)
	})
}

func TestCreditBoundsWhatIsUnderWay(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		p, returned := w.join(inv)
		const size = 5*wire.BlockSize + 100
		data := content(1, size)
		p.put(1, size)
		s := p.beginFetch(1, 0, 6, 2*wire.BlockSize+99)
		p.block(s, 1, data, 0)
		p.block(s, 1, data, 1)
		p.silent(time.Minute) // the credit does not suffice for another
		p.conn.Send(wire.TypeCredit, 0, s, &wire.Credit{Bytes: wire.BlockSize - 99})
		p.block(s, 1, data, 2)
		p.silent(time.Second)
		p.conn.Send(wire.TypeCredit, 0, s, &wire.Credit{Bytes: 1 << 30})
		for i := 3; i < 6; i++ {
			p.block(s, 1, data, i)
		}
		p.done(s, wire.CodeOK)
		p.conn.Send(wire.TypeCredit, 0, s, &wire.Credit{Bytes: 1}) // too late, and no harm
		p.sleep(2, returned)
	})
}

func TestCancel(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1<<20)
		fetch := p.beginFetch(1, 0, 4, wire.BlockSize)
		p.block(fetch, 1, content(1, 1<<20), 0)
		p.conn.Send(wire.TypeCancel, 0, fetch, nil)
		p.done(fetch, wire.CodeCanceled)
		p.conn.Send(wire.TypeCredit, 0, fetch, &wire.Credit{Bytes: 1 << 20})

		put := p.beginStore(2, 1<<20)
		p.sendBlock(put, 2, content(2, 1<<20), 3)
		p.conn.Send(wire.TypeCancel, 0, put, nil)
		p.sendBlock(put, 2, content(2, 1<<20), 1) // was on its way
		if used := p.done(put, wire.CodeCanceled); used != 0 {
			t.Errorf("a canceled store says that %d bytes are used", used)
		}
		p.conn.Send(wire.TypeCancel, 0, put, nil) // crossed the answer
		if used := p.freeChunks(chunkOf(1)); used != 0 {
			t.Errorf("%d bytes are used after all was freed", used)
		}
		p.sleep(4, returned)
	})
}

// What a canceled fetch has queued for a slow link is not sent.
func TestCanceledBlocksAreNotSent(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		inv.Linger.Stay = 20 * time.Second
		p, returned := w.join(inv)
		const blocks = 32
		p.put(1, blocks*wire.BlockSize)
		if _, err := w.net.Script("rate node->proxy 1000000 bytes/s"); err != nil {
			t.Fatal(err)
		}
		fetch := p.beginFetch(1, 0, blocks, blocks*wire.BlockSize)
		time.Sleep(time.Second)
		p.conn.Send(wire.TypeCancel, 0, fetch, nil)
		came := 0
		for p.next().Type == wire.TypeBlock {
			came++
		}
		if came > blocks/3 {
			t.Errorf("%d blocks came of %d, after a second at the rate of 4 blocks a second", came, blocks)
		}
		if used := p.freeChunks(chunkOf(1)); used != 0 {
			t.Errorf("%d bytes are used after all was freed", used)
		}
		p.sleep(3, returned)
	})
}

// A proxy hears that blocks arrive, while the chunk is long in coming and after it gave
// the chunk up, and is told nothing beside answers otherwise.
func TestSignsOfLifeAmongBlocks(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		inv.Linger.Stay = 5 * time.Second
		p, returned := w.join(inv)
		const size = 8 * wire.BlockSize
		data := content(1, size)
		s := p.beginStore(1, size)
		slowly := func(i int) {
			t.Helper()
			time.Sleep(200 * time.Millisecond)
			p.sendBlock(s, 1, data, i)
			synctest.Wait()
		}
		told := func() {
			t.Helper()
			var m wire.Session
			if p.expect(wire.TypePong, 0, &m); m != (wire.Session{Epoch: p.epoch, Session: p.session}) {
				t.Errorf("a sign of life says %+v", m)
			}
		}
		slowly(0)
		slowly(1)
		told() // after 400 ms
		slowly(2)
		slowly(3)
		told()
		p.conn.Send(wire.TypeCancel, 0, s, nil)
		p.done(s, wire.CodeCanceled)
		slowly(4)
		slowly(5)
		told()
		p.silent(time.Second)
		p.put(2, size)
		p.put(3, size)
		p.sleep(3, returned)
	})
}

func TestBlocksThatDoNotFit(t *testing.T) {
	const size = wire.BlockSize + 1000
	c := chunkOf(1)
	data := content(1, size)
	for _, tc := range []struct {
		name string
		b    wire.Block
		n    int
	}{
		{"twice", wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: 0}, wire.BlockSize},
		{"beyond the end", wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: 2}, wire.BlockSize},
		{"far beyond", wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: 1 << 31}, wire.BlockSize},
		{"too long", wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: 1}, 1001},
		{"too short", wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: 1}, 999},
		{"of another chunk", wire.Block{Stripe: c.Stripe, Chunk: c.Index + 1, Index: 1}, 1000},
		{"of another stripe", wire.Block{Stripe: c.Stripe + 1, Chunk: c.Index, Index: 1}, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				p, returned := w.join(invocation(1))
				s := p.beginStore(1, size)
				p.sendBlock(s, 1, data, 0)
				p.conn.SendBlock(s, tc.b, make([]byte, tc.n), nil, nil)
				p.sendBlock(s, 1, data, 1) // thrown away
				p.done(s, wire.CodeProtocol)
				if used := p.put(2, 1000); used != cost(1000) {
					t.Errorf("%d bytes are used, want %d: the failed chunk is still there", used, cost(1000))
				}
				p.done(p.beginFetch(1, 0, 1, wire.StreamCredit), wire.CodeNotHeld)
				p.sleep(3, returned)
			})
		})
	}
}

func TestChunkSentAgainReplacesTheFirst(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 500_000)
		fetch := p.beginFetch(1, 0, 2, wire.BlockSize)
		p.block(fetch, 1, content(1, 500_000), 0)

		// The reader keeps the first as it is; a staged one gives way at once.
		staged := p.beginStore(1, 500_000)
		again := p.beginStore(1, 500_000)
		for i := range 2 {
			p.sendBlock(again, 1, content(1, 500_000), i)
			p.sendBlock(staged, 1, content(1, 500_000), i)
		}
		p.done(again, wire.CodeOK)
		p.done(staged, wire.CodeCanceled)
		p.conn.Send(wire.TypeCredit, 0, fetch, &wire.Credit{Bytes: wire.BlockSize})
		p.block(fetch, 1, content(1, 500_000), 1)
		p.done(fetch, wire.CodeOK)
		p.get(1, 500_000)
		r := p.sleep(5, returned)
		if r.Used != int64(cost(500_000)) || r.Chunks != 1 {
			t.Errorf("returned %+v, want one chunk of %d bytes", r, cost(500_000))
		}
	})
}

func TestFreeOfAChunkThatComesOrGoes(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1<<20)
		fetch := p.beginFetch(1, 0, 4, wire.BlockSize)
		p.block(fetch, 1, content(1, 1<<20), 0)
		put := p.beginStore(2, 1000)
		if used := p.freeChunks(chunkOf(1), chunkOf(2)); used != cost(1<<20)+cost(1000) {
			t.Errorf("%d bytes are used, want %d for the open chunks", used, cost(1<<20)+cost(1000))
		}
		p.sendBlock(put, 2, content(2, 1000), 0)
		p.done(put, wire.CodeCanceled)
		p.conn.Send(wire.TypeCredit, 0, fetch, &wire.Credit{Bytes: 1 << 20})
		for i := 1; i < 4; i++ {
			p.block(fetch, 1, content(1, 1<<20), i)
		}
		p.done(fetch, wire.CodeOK)
		if r := p.sleep(4, returned); r.Used != 0 || r.Chunks != 0 {
			t.Errorf("returned %+v, want nothing held", r)
		}
	})
}

func TestCapacityIsNeverExceeded(t *testing.T) {
	inWorld(t, Config{Memory: 64 << 20}, func(w *world) {
		inv := invocation(1)
		inv.Capacity = 4 << 20
		returned := w.invoke(inv)
		p := <-w.links
		capacity := p.welcome(inv).Capacity
		if capacity > 4<<20 {
			t.Errorf("capacity %d, want at most what the invocation allows", capacity)
		}
		const size = 600_000
		var held []wire.Chunk
		var requests uint64
		for v := uint64(1); ; v++ {
			s := p.beginStore(v, size)
			requests++
			for i := range blocksOf(size) {
				p.sendBlock(s, v, content(v, size), i)
			}
			var d wire.Done
			h := p.expect(wire.TypeDone, s, &d)
			if d.Value > capacity {
				t.Fatalf("%d bytes are used, capacity %d", d.Value, capacity)
			}
			if h.Code == wire.CodeFull {
				break
			}
			held = append(held, chunkOf(v))
		}
		if want := capacity / cost(size); uint64(len(held)) != want {
			t.Errorf("%d chunks fit, want %d", len(held), want)
		}
		if used := p.freeChunks(held...); used != 0 {
			t.Errorf("%d bytes are used after all was freed", used)
		}
		p.put(100, size)
		p.sleep(requests+2, returned)

		// An invocation does not get more than the function's memory allows.
		inv = invocation(1)
		inv.Epoch, inv.Capacity = 8, 1<<30
		returned = w.invoke(inv)
		p = <-w.links
		if h := p.welcome(inv); h.Capacity > 34<<20 {
			t.Errorf("capacity %d of 64 MiB", h.Capacity)
		}
		p.sleep(0, returned)
	})
}

func TestRequestsOfAnotherSessionAreThrownAway(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.session = 2
		p.beginFetch(1, 0, 1, wire.StreamCredit)
		p.begin(wire.TypeFree, &wire.Free{Fence: p.fence(), Chunks: []wire.Chunk{chunkOf(1)}})
		p.sendBlock(p.beginStore(2, 1000), 2, content(2, 1000), 0)
		p.say(wire.TypePing, 1)
		p.say(wire.TypeAsleep, 0)
		p.session, p.epoch = 1, 6
		p.beginFetch(1, 0, 1, wire.StreamCredit)
		p.say(wire.TypePing, 1)
		p.epoch = 7
		p.get(1, 1000)
		p.sleep(2, returned)
	})
}

// What was sent into a frozen process is delivered when it thaws, before the
// welcome of the next session.
func TestOldSessionsBytesAreThrownAwayAfterAThaw(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.sleep(1, returned)

		p.beginFetch(1, 0, 1, wire.StreamCredit)
		p.begin(wire.TypeFree, &wire.Free{Fence: p.fence(), Chunks: []wire.Chunk{chunkOf(1)}})
		old := p.beginStore(2, 1<<20)
		for i := range 2 {
			p.sendBlock(old, 2, content(2, 1<<20), i)
		}
		p.say(wire.TypePing, 1)
		synctest.Wait()

		inv := invocation(2)
		returned = w.invoke(inv)
		p.hello(inv)
		p.beginFetch(1, 0, 1, wire.StreamCredit) // of the new session, but not welcomed yet
		p.say(wire.TypeWelcome, 0)
		p.sendBlock(old, 2, content(2, 1<<20), 2)
		p.get(1, 1000)
		if r := p.sleep(1, returned); r.Chunks != 1 {
			t.Errorf("returned %+v, want the one chunk", r)
		}
	})
}

func TestProtocolErrorsEndTheLink(t *testing.T) {
	for name, say := range map[string]func(p *peer){
		"stream 0":           func(p *peer) { p.stream = ^uint32(0); p.beginFetch(1, 0, 1, 1) },
		"stream taken":       func(p *peer) { p.beginStore(1, 1000); p.stream--; p.beginStore(2, 1000) },
		"not for a node":     func(p *peer) { p.say(wire.TypeHello, 0) },
		"metadata cut short": func(p *peer) { p.begin(wire.TypeFetch, &wire.Credit{}) },
		"empty free":         func(p *peer) { p.begin(wire.TypeFree, &wire.Free{Fence: p.fence()}) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				inv := invocation(1)
				p, returned := w.join(inv)
				say(p)
				p.ended()
				p = <-w.links
				if h := p.welcome(inv); h.Used != 0 {
					t.Errorf("hello %+v, want nothing held", h)
				}
				p.expect(wire.TypeSleep, 0, nil)
				p.say(wire.TypeAsleep, 0)
				<-returned
			})
		})
	}
}
