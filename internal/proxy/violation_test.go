package proxy_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/simcache"
	"github.com/infinicache/infinicache/internal/wire"
)

// A client that breaks the protocol loses the PUT or the READ, and nobody else
// anything.
func TestViolationsOfAPut(t *testing.T) {
	block := make([]byte, wire.BlockSize)
	for name, try := range map[string]struct {
		size int64
		do   func(c *raw, p wire.Placed)
		want wire.Code
	}{
		"block before its stripe": {1 << 20, func(c *raw, _ wire.Placed) {
			c.block(1, wire.Block{}, block)
		}, wire.CodeProtocol},
		"second stripe first": {40 << 20, func(c *raw, p wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Stripe: 1, Length: p.Stripe})
		}, wire.CodeProtocol},
		"stripe of another length": {1 << 20, func(c *raw, _ wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 1 << 19})
		}, wire.CodeShort},
		"stripe too long": {-1, func(c *raw, p wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Length: p.Stripe + 1})
		}, wire.CodeProtocol},
		"stripe after a short one": {-1, func(c *raw, _ wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 100})
			c.send(wire.TypeStripe, 1, &wire.Stripe{Stripe: 1, Length: 100})
		}, wire.CodeProtocol},
		"stripes without blocks": {400 << 20, func(c *raw, p wire.Placed) {
			for i := range uint32(20) {
				c.send(wire.TypeStripe, 1, &wire.Stripe{Stripe: i, Length: p.Stripe})
			}
		}, wire.CodeProtocol},
		"chunk that is not": {1 << 20, func(c *raw, _ wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 1 << 20})
			c.block(1, wire.Block{Chunk: 60}, block)
		}, wire.CodeProtocol},
		"block that is not": {1 << 20, func(c *raw, _ wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 1 << 20})
			c.block(1, wire.Block{Index: 70}, block)
		}, wire.CodeProtocol},
		"block of a wrong size": {1 << 20, func(c *raw, _ wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 1 << 20})
			c.block(1, wire.Block{}, block[:100])
		}, wire.CodeProtocol},
		"commit of nothing": {1 << 20, func(c *raw, _ wire.Placed) {
			c.send(wire.TypeCommit, 1, &wire.Commit{Size: 1 << 20, Stripes: 1})
		}, wire.CodeShort},
		"commit twice": {1 << 20, func(c *raw, _ wire.Placed) {
			c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 1 << 20})
			for range 1000 {
				c.send(wire.TypeCommit, 1, &wire.Commit{Size: 1 << 20, Stripes: 1})
			}
		}, wire.CodeProtocol},
		"put on its stream": {1 << 20, func(c *raw, _ wire.Placed) {
			c.send(wire.TypePut, 1, &wire.Put{Key: "other", Size: 1})
		}, wire.CodeBusy},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, simcache.Config{}, func(t *testing.T, w *simcache.Cache) {
				good := w.Client()
				mustPut(t, good, "good", content(1, 3<<20))
				c := dial(t, w, "bad")
				try.do(c, c.put(1, "k", try.size))
				if f := c.want(wire.TypeDone, nil); f.Stream != 1 || f.Code != try.want {
					t.Errorf("done on stream %d with %v, want %v", f.Stream, f.Code, try.want)
				}
				c.block(1, wire.Block{}, block) // too late for it: thrown away
				c.send(wire.TypeStat, 2, &wire.Open{Key: "good"})
				c.want(wire.TypeOpened, nil)
				mustGet(t, good, "good", content(1, 3<<20))
				c.nc.Close()
			})
		})
	}
}

// More than the window is refused while none of it can leave.
func TestWindowExceeded(t *testing.T) {
	bubble(t, simcache.Config{}, func(t *testing.T, w *simcache.Cache) {
		w.Platform.Throttle(1 << 30)
		c := dial(t, w, "bad")
		p := c.put(1, "k", 10<<20)
		c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 10 << 20})
		for i := range uint32(p.Window/wire.BlockSize + 1) {
			c.block(1, wire.Block{Chunk: uint16(i / 4), Index: i % 4}, make([]byte, wire.BlockSize))
		}
		if f := c.want(wire.TypeDone, nil); f.Code != wire.CodeProtocol {
			t.Errorf("done with %v, want protocol", f.Code)
		}
		w.Platform.Throttle(0)
	})
}

func TestViolationsOfARead(t *testing.T) {
	bubble(t, simcache.Config{Nodes: 12}, func(t *testing.T, w *simcache.Cache) {
		good := w.Client()
		mustPut(t, good, "k", content(1, 10<<20))
		c := dial(t, w, "bad")
		end := func(what string, m *wire.Read, want wire.Code) {
			t.Helper()
			c.send(wire.TypeRead, 50, m)
			if f := c.want(wire.TypeEnd, nil); f.Stream != 50 || f.Code != want {
				t.Errorf("%s: end on stream %d with %v, want %v", what, f.Stream, f.Code, want)
			}
		}
		one := []wire.Want{{Chunk: 0, From: 0, To: 1}}
		end("nothing open", &wire.Read{Open: 1, Wants: one}, wire.CodeRequest)
		o := c.open(1, "k")
		end("no such stripe", &wire.Read{Open: 1, Stripe: 77, Wants: one}, wire.CodeRequest)
		end("no such chunk", &wire.Read{Open: 1, Wants: []wire.Want{{Chunk: uint16(o.Data + o.Parity), To: 1}}}, wire.CodeRequest)
		end("blocks beyond the chunk", &wire.Read{Open: 1, Wants: []wire.Want{{To: 60}}}, wire.CodeRequest)

		// Wants that cannot be served do not take the credit of those that can.
		c.send(wire.TypeRead, 60, &wire.Read{Open: 1, Wants: []wire.Want{{Chunk: 40, To: 1}, {Chunk: 1, To: 4}}})
		blocks := 0
		for blocks < 4 {
			f := c.next()
			if f.Type == 0 {
				t.Fatalf("%d of 4 blocks came", blocks)
			}
			if f.Type == wire.TypeBlock {
				blocks++
			}
		}
		c.send(wire.TypeOpen, 1, &wire.Open{Key: "k"})
		if f := c.want(wire.TypeDone, nil); f.Code != wire.CodeProtocol {
			t.Errorf("open twice: %v", f.Code)
		}
		c.send(wire.TypeClose, 1, nil)
		c.send(wire.TypeClose, 1, nil) // of nothing
		c.send(wire.TypeCancel, 99, nil)
		end("closed", &wire.Read{Open: 1, Wants: one}, wire.CodeRequest)
		mustGet(t, good, "k", content(1, 10<<20))

		c.send(wire.TypePong, 1, &wire.Session{})
		if f := c.want(wire.TypeDone, nil); f.Stream != 0 || f.Code != wire.CodeProtocol {
			t.Errorf("a node's frame: %v on stream %d", f.Code, f.Stream)
		}
		if f := c.next(); f.Type != 0 {
			t.Errorf("the link goes on with %v", f.Type)
		}
	})
}

func TestThousandsOfOpensAndPuts(t *testing.T) {
	bubble(t, simcache.Config{}, func(t *testing.T, w *simcache.Cache) {
		good := w.Client()
		mustPut(t, good, "k", content(1, 1<<20))
		c := dial(t, w, "bad")
		const many = 3000
		go func() {
			for i := range uint32(many) {
				c.send(wire.TypeOpen, 1+2*i, &wire.Open{Key: "k"})
				c.send(wire.TypePut, 2+2*i, &wire.Put{Key: fmt.Sprint("k", i), Size: 1 << 20})
			}
		}()
		got := map[wire.Type]int{}
		for range 2 * many {
			f := c.next()
			got[f.Type]++
		}
		if got[wire.TypeOpened] != 1024 || got[wire.TypePlaced] != 256 || got[wire.TypeDone] != 2*many-1024-256 {
			t.Errorf("answers were %v", got)
		}
		mustGet(t, good, "k", content(1, 1<<20))
		c.nc.Close()
	})
}

// An expiry farther away than times can tell is not one in the past.
func TestExpiryBeyondAllTimes(t *testing.T) {
	bubble(t, simcache.Config{}, func(t *testing.T, w *simcache.Cache) {
		c := dial(t, w, "bad")
		for i, in := range []int64{1<<63 - 1, 1 << 60, 1 << 44} {
			stream, key := uint32(2*i+1), fmt.Sprint("k", i)
			c.send(wire.TypePut, stream, &wire.Put{Key: key, Size: 0, ExpiresIn: in})
			c.want(wire.TypePlaced, nil)
			c.send(wire.TypeCommit, stream, &wire.Commit{})
			if f := c.want(wire.TypeDone, nil); f.Code != wire.CodeOK {
				t.Errorf("put: %v", f.Code)
			}
			c.send(wire.TypeStat, stream+1, &wire.Open{Key: key})
			if f := c.next(); f.Type != wire.TypeOpened {
				t.Errorf("an object that expires in %d ms is none: %v", in, f.Type)
			}
		}
	})
}

func TestClientThatStallsInMidBlock(t *testing.T) {
	bubble(t, simcache.Config{}, func(t *testing.T, w *simcache.Cache) {
		c := dial(t, w, "bad")
		c.put(1, "k", 1<<20)
		c.send(wire.TypeStripe, 1, &wire.Stripe{Length: 1 << 20})
		var head [wire.HeaderSize + wire.BlockMetaSize]byte
		wire.Header{Type: wire.TypeBlock, Stream: 1, Meta: wire.BlockMetaSize, Body: wire.BlockSize}.Put(head[:])
		c.write(append(head[:], 1, 2, 3))
		good := w.Client()
		mustPut(t, good, "k", content(2, 1<<20))
		mustGet(t, good, "k", content(2, 1<<20))
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if n := w.Proxy.Status().Clients; n != 1 {
			t.Errorf("%d clients after 40 s, want the good one", n)
		}
	})
}
