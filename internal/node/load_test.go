package node

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Many requests at once, over several sessions with cuts between and within
// them. Whatever is answered must be right, and in the end nothing may be used
// that is not held.
func TestConcurrentRequests(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		const seed = 4
		rnd := rand.New(rand.NewPCG(seed, 0))
		sizes := []int{100, 5000, 70_000, wire.BlockSize, 600_000}
		size := func(v uint64) int { return sizes[v%uint64(len(sizes))] }
		var p *peer
		for session := uint64(1); session <= 12; session++ {
			inv := invocation(session)
			returned := w.invoke(inv)
			if p == nil {
				p = <-w.links
			}
			h := p.hello(inv)
			p.say(wire.TypeWelcome, 0)

			open := map[uint32]func(heard) bool{} // by stream; true when over
			for range 120 {
				v := rnd.Uint64N(30)
				switch rnd.IntN(5) {
				case 0:
					all := chunkOf(v)
					all.Stripe = wire.WholeVersion
					open[p.begin(wire.TypeFree, &wire.Free{Fence: p.fence(), Chunks: []wire.Chunk{all}})] = wantDone
				case 1, 2:
					s := p.beginStore(v, size(v))
					for i := range blocksOf(size(v)) {
						p.sendBlock(s, v, content(v, size(v)), i)
					}
					open[s] = wantDone
				default:
					s := p.beginFetch(v, 0, blocksOf(size(v)), wire.MaxChunkSize)
					next := 0
					open[s] = func(h heard) bool {
						if h.Type == wire.TypeDone {
							return true
						}
						want := blockOf(content(v, size(v)), next)
						if h.Type != wire.TypeBlock || string(h.body) != string(want) {
							t.Errorf("seed %d: stream %d received %v with %d bytes, want block %d", seed, s, h.Type, len(h.body), next)
						}
						next++
						return false
					}
				}
			}
			if cut := session%4 == 0; cut {
				w.net.Drop("node")
				p.ended()
				p = <-w.links
				p.welcome(inv)
				clear(open)
			}
			for len(open) > 0 {
				h := p.next()
				if f := open[h.Stream]; f == nil {
					t.Fatalf("seed %d: %v on stream %d, which is over", seed, h.Type, h.Stream)
				} else if f(h) {
					delete(open, h.Stream)
				}
			}
			p.expect(wire.TypeSleep, 0, nil)
			p.say(wire.TypeAsleep, 0)
			if r := <-returned; r.Reason != "slept" || r.Used > int64(h.Capacity) {
				t.Errorf("seed %d: returned %+v", seed, r)
			}
		}
		inv := invocation(100)
		returned := w.rejoin(p, inv)
		var all []wire.Chunk
		for v := range uint64(30) {
			all = append(all, chunkOf(v))
		}
		if used := p.freeChunks(all...); used != 0 {
			t.Errorf("seed %d: %d bytes are used after everything was freed", seed, used)
		}
		p.sleep(1, returned)
	})
}

func wantDone(h heard) bool { return h.Type == wire.TypeDone }

// The session ends while a block is on its way into the store.
func TestEndInMidBlock(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		returned := w.invokeFor(ctx, inv)
		p := <-w.links
		p.welcome(inv)
		fault, err := w.net.Script("stall proxy->node after 100000 bytes")
		if err != nil {
			t.Fatal(err)
		}
		s := p.beginStore(1, 1<<20)
		p.sendBlock(s, 1, content(1, 1<<20), 0)
		p.expect(wire.TypeBye, 0, nil)
		if r := <-returned; r.Reason != "deadline" || r.Used != 0 || r.Chunks != 0 || r.Requests != 1 {
			t.Errorf("returned %+v, want nothing held", r)
		}
		if fault[0].Fired() == 0 {
			t.Errorf("the block was not stalled: %v", w.net.Report())
		}
		p.conn.Close(nil)
	})
}

// Close comes from one goroutine while sessions and requests go on in others.
func TestCloseMeanwhile(t *testing.T) {
	for range 8 {
		inWorld(t, Config{}, func(w *world) {
			p, returned := w.join(invocation(1))
			for v := range uint64(20) {
				s := p.beginStore(v, 100_000)
				p.sendBlock(s, v, content(v, 100_000), 0)
				p.beginFetch(v, 0, 1, wire.StreamCredit)
			}
			var wg sync.WaitGroup
			wg.Go(func() { w.node.Close() })
			wg.Go(func() { w.node.Close() })
			<-returned
			wg.Wait()
			p.ended()
		})
	}
}
