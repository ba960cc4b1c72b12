package proxy_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/simcache"
	"github.com/infinicache/infinicache/internal/wire"
)

// small is a cache whose relay budget is the least there can be.
var small = simcache.Config{Nodes: 12, Proxy: func(c *proxy.Config) { c.RelayBudget = 16 << 20 }}

// Readers whose credits together exceed the budget wait for it in turn, never for
// each other.
func TestManyReadersAndALittleBudget(t *testing.T) {
	bubble(t, small, func(t *testing.T, w *simcache.Cache) {
		mustPut(t, w.Client(), "k", content(1, 10<<20))
		var all sync.WaitGroup
		for i := range 12 {
			c := dial(t, w, fmt.Sprint("reader/", i))
			c.open(1, "k")
			all.Go(func() {
				for round := range uint32(2) {
					var wants []wire.Want
					for k := range uint16(10) {
						wants = append(wants, wire.Want{Chunk: k, To: 4})
					}
					c.send(wire.TypeRead, 2+round, &wire.Read{Open: 1, Wants: wants})
				}
				for range 2 * 10 * 4 {
					if f := c.next(); f.Type != wire.TypeBlock {
						t.Errorf("got %v %v, want a block", f.Type, f.Code)
						return
					}
				}
				c.send(wire.TypeClose, 1, nil)
			})
		}
		all.Wait()
	})
}

// A READ of more chunks than a share has room for, at full credit, gets less.
func TestReadOfAsManyChunksAsThereCanBe(t *testing.T) {
	cfg := small
	cfg.Nodes, cfg.Shape = 64, object.Shape{Data: 60, Parity: 4}
	bubble(t, cfg, func(t *testing.T, w *simcache.Cache) {
		c := w.Client()
		mustPut(t, c, "k", content(1, 40<<20))
		mustGet(t, c, "k", content(1, 40<<20))
	})
}

func TestClientThatDoesNotReadHoldsUpNobody(t *testing.T) {
	bubble(t, simcache.Config{Nodes: 12}, func(t *testing.T, w *simcache.Cache) {
		good := w.Client()
		mustPut(t, good, "k", content(1, 10<<20))
		c := dial(t, w, "bad")
		c.open(1, "k")
		for i := range uint32(500) {
			c.send(wire.TypeRead, 2+i, &wire.Read{Open: 1, Wants: []wire.Want{{Chunk: uint16(i % 12), To: 4}}})
		}
		for range 20 {
			began := time.Now()
			mustGet(t, good, "k", content(1, 10<<20))
			if d := time.Since(began); d > time.Second {
				t.Errorf("a read beside one that stalls took %v", d)
			}
		}
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if n := w.Proxy.Status().Clients; n != 1 {
			t.Errorf("%d clients, want the one that reads", n)
		}
	})
}

// So many that do not read that the whole budget is theirs are got rid of as soon
// as somebody else wants to read.
func TestClientsThatDoNotReadAndUseTheBudgetUp(t *testing.T) {
	bubble(t, simcache.Config{Nodes: 12}, func(t *testing.T, w *simcache.Cache) {
		good := w.Client()
		mustPut(t, good, "k", content(1, 10<<20))
		for i := range 6 {
			c := dial(t, w, fmt.Sprint("bad/", i))
			c.open(1, "k")
			for k := range uint32(30) {
				c.send(wire.TypeRead, 2+k, &wire.Read{Open: 1, Wants: []wire.Want{{Chunk: uint16(k % 12), To: 4}}})
			}
		}
		time.Sleep(time.Second)
		if w.Proxy.Status().Clients != 7 {
			t.Errorf("%d clients, want 7: nobody waits yet but those who do not read", w.Proxy.Status().Clients)
		}
		mustGet(t, good, "k", content(1, 10<<20))
		began := time.Now()
		mustGet(t, good, "k", content(1, 10<<20))
		if d := time.Since(began); d > time.Second {
			t.Errorf("the read after the first took %v", d)
		}
	})
}

// A CANCEL is heard behind READs that wait for the budget.
func TestCancelBehindWaitingReads(t *testing.T) {
	bubble(t, small, func(t *testing.T, w *simcache.Cache) {
		mustPut(t, w.Client(), "k", content(1, 10<<20))
		time.Sleep(10 * time.Second)
		w.Platform.Throttle(1 << 30) // what is asked for does not come soon
		c := dial(t, w, "impatient")
		c.open(1, "k")
		var wants []wire.Want
		for k := range uint16(10) {
			wants = append(wants, wire.Want{Chunk: k, To: 4})
		}
		for i := range uint32(5) {
			c.send(wire.TypeRead, 2+i, &wire.Read{Open: 1, Wants: wants})
		}
		for i := range uint32(5) {
			c.send(wire.TypeCancel, 2+i, nil)
		}
		c.send(wire.TypeStat, 90, &wire.Open{Key: "k"})
		began := time.Now()
		c.want(wire.TypeOpened, nil)
		if d := time.Since(began); d > 10*time.Millisecond {
			t.Errorf("an answer behind cancelled reads took %v", d)
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if !w.Proxy.RelayIdle() {
			t.Error("cancelled reads still hold a part of the budget")
		}
		w.Platform.Throttle(0)
		c.send(wire.TypeClose, 1, nil)
	})
}

// Whatever clients give up, when and how, the budget, the pins and what was
// staged come back.
func TestCancelsAndCutsLeaveNothingBehind(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cfg := small
			cfg.Seed = seed
			bubble(t, cfg, func(t *testing.T, w *simcache.Cache) {
				rng := rand.New(rand.NewPCG(seed, 1))
				good := w.Client()
				mustPut(t, good, "k", content(1, 10<<20))
				for i := range 8 {
					c := dial(t, w, fmt.Sprint("raw/", i))
					go func() { // reads, slowly now and then
						for n := 0; c.next().Type != 0; n++ {
							time.Sleep(time.Duration(n%20/19) * time.Millisecond)
						}
					}()
					for s := uint32(1); s < 60; s++ {
						k := 1 + uint32(rng.IntN(int(s)))
						switch rng.IntN(8) {
						case 0:
							c.send(wire.TypeOpen, s, &wire.Open{Key: "k"})
						case 1:
							c.send(wire.TypePut, s, &wire.Put{Key: "k2", Size: 1 << 20})
							c.send(wire.TypeStripe, s, &wire.Stripe{Length: 1 << 20})
						case 2:
							c.block(k, wire.Block{Chunk: uint16(rng.IntN(4))}, make([]byte, wire.BlockSize))
						case 3:
							c.send(wire.TypeCancel, k, nil)
						case 4:
							c.send(wire.TypeClose, k, nil)
						case 5:
							time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
						default:
							wants := []wire.Want{{Chunk: uint16(rng.IntN(6)), To: 4}, {Chunk: 6 + uint16(rng.IntN(7)), From: 1, To: 3}}
							c.send(wire.TypeRead, s, &wire.Read{Open: k, Wants: wants})
						}
					}
					if rng.IntN(2) == 0 {
						w.Net.Drop(fmt.Sprint("raw/", i))
					} else {
						defer c.nc.Close()
					}
				}
				if rng.IntN(2) == 0 {
					w.Platform.Reclaim(rng.IntN(12))
				}
				mustGet(t, good, "k", content(1, 10<<20))
			})
		})
	}
}
