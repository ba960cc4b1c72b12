package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/simcache"
	"github.com/infinicache/infinicache/internal/wire"
)

// liar is a platform whose node 0 is played by an instance that speaks in frames:
// it joins as it should, names what it does not hold, and sends none of it.
type liar struct {
	platform.Driver
	t     *testing.T
	w     *simcache.Cache
	id    wire.Instance
	names []wire.Held

	mu    sync.Mutex
	freed map[wire.Chunk]bool
	lists int
}

func (l *liar) Invoke(ctx context.Context, number int, payload []byte) (platform.Outcome, error) {
	if number != 0 {
		return l.Driver.Invoke(ctx, number, payload)
	}
	inv, err := wire.DecodeInvocation(payload)
	if err != nil {
		return platform.Outcome{}, &platform.Error{Kind: platform.FunctionError, Err: err}
	}
	requests := l.play(ctx, inv)
	said, _ := json.Marshal(wire.Return{Session: inv.Session, Epoch: inv.Epoch, Instance: l.id, Reason: "slept", Requests: requests})
	return platform.Outcome{Payload: said}, nil
}

// play is one session: a second of answers, then sleep.
func (l *liar) play(ctx context.Context, inv *wire.Invocation) uint64 {
	var requests atomic.Uint64
	nc, err := l.w.Net.Dial(ctx, "node/0", inv.Proxy)
	if err != nil {
		return 0
	}
	defer nc.Close()
	c := &raw{l.t, nc}
	preface := wire.Preface(wire.RoleNode)
	c.write(preface[:])
	if _, err := io.ReadFull(nc, preface[:]); err != nil {
		return 0
	}
	hello := &wire.Hello{
		Node: inv.Node, Instance: l.id, Epoch: inv.Epoch, Session: inv.Session, Proof: [32]byte(inv.Secret),
		Capacity: uint64(inv.Capacity), Used: 1 << 20, Chunks: uint64(len(l.names)),
	}
	c.send(wire.TypeHello, 0, hello)
	over := time.AfterFunc(time.Second, func() {
		c.send(wire.TypeSleep, 0, &wire.Session{Epoch: inv.Epoch, Session: inv.Session, Number: requests.Load()})
	})
	defer over.Stop()
	done := func(stream uint32, err error, value uint64) {
		code, d := wire.DoneOf(err)
		d.Value = value
		c.write(wire.AppendFrame(nil, wire.TypeDone, code, stream, d))
	}
	for {
		f := c.next()
		switch f.Type {
		case 0, wire.TypeAsleep:
			return requests.Load()
		case wire.TypeFetch:
			requests.Add(1)
			done(f.Stream, wire.ErrNotHeld, 0)
		case wire.TypeStore:
			requests.Add(1)
			done(f.Stream, wire.ErrFull, 0)
		case wire.TypeFree:
			requests.Add(1)
			var m wire.Free
			if err := m.Decode(f.meta); err != nil {
				l.t.Error(err)
			}
			l.mu.Lock()
			for _, chunk := range m.Chunks {
				l.freed[chunk] = true
			}
			l.mu.Unlock()
			done(f.Stream, nil, 0)
		case wire.TypeList:
			requests.Add(1)
			l.mu.Lock()
			l.lists++
			l.mu.Unlock()
			for _, h := range l.names {
				c.send(wire.TypeHolding, f.Stream, &wire.Holding{Items: []wire.Held{h}})
			}
			done(f.Stream, nil, 1)
		}
	}
}

// An inventory that lies costs the liar what it named, and nobody else anything.
func TestInventoriesThatLie(t *testing.T) {
	const nodes = 3
	for _, adopt := range []bool{false, true} {
		t.Run(fmt.Sprint("adopt ", adopt), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := simcache.New(t, simcache.Config{Nodes: nodes, Shape: object.Shape{Data: 1, Parity: 2}, JournalDir: filepath.Join(dir, "a")})
				c := w.Client()
				want := content(1, 100_000)
				mustPut(t, c, "k", want)
				info, err := w.Proxy.Stat(t.Context(), "k")
				if err != nil {
					t.Fatal(err)
				}
				good := wire.Record{Key: "k", Version: info.Version, Size: info.Size, Data: 1, Parity: 2, Stripe: info.Stripe, Stored: 1}
				alter := func(f func(*wire.Record)) *wire.Record { r := good; f(&r); return &r }
				chunk := func(v uint64, index int) wire.Chunk { return wire.Chunk{Version: v, Index: uint16(index)} }

				l := &liar{t: t, w: w, id: wire.Instance{66}, freed: map[wire.Chunk]bool{}}
				add := func(ch wire.Chunk, size int, record []byte) {
					l.names = append(l.names, wire.Held{Chunk: ch, Size: uint32(size), Record: record})
				}
				for i := range nodes { // one of them is where the catalog says
					add(chunk(info.Version, i), 99, good.Append(nil))
				}
				future := good.Version + 9<<36
				add(chunk(future, 0), 100_000, alter(func(r *wire.Record) { r.Version = future }).Append(nil))
				add(chunk(info.Version+1, 0), 100_000, []byte("no record"))
				add(chunk(info.Version+2, 0), 100_000, nil)
				add(chunk(info.Version+3, 0), 100_000, good.Append(nil))
				// Versions that nobody knows, which contradict themselves.
				x := good.Version + 10
				small := alter(func(r *wire.Record) { r.Key, r.Version = "x", x })
				large := alter(func(r *wire.Record) { r.Key, r.Version, r.Size, r.Data = "x", x, 1<<40, 60-2; r.Stripe = 1 << 20 })
				add(chunk(x, 0), 100_000, small.Append(nil))
				add(wire.Chunk{Version: x, Stripe: 1 << 19, Index: 50}, 1<<20/58+1, large.Append(nil))
				add(chunk(x, 63), 100_000, small.Append(nil))
				huge := alter(func(r *wire.Record) { r.Key, r.Version, r.Size, r.Stripe = "y", x+1, 1<<42, 1<<12 })
				add(wire.Chunk{Version: x + 1, Stripe: 1 << 29}, 1<<12, huge.Append(nil))
				// One that it could hold and does not: with adoption it comes up, is
				// asked for, and is a miss.
				single := alter(func(r *wire.Record) { r.Key, r.Version, r.Parity = "never sent", x+2, 0 })
				add(chunk(x+2, 0), 100_000, single.Append(nil))

				time.Sleep(time.Second) // the journal has it
				w.Kill()
				time.Sleep(3 * time.Second)
				w.Restart(func(pc *proxy.Config) {
					l.Driver = pc.Pool.Driver
					pc.Pool.Driver = l
					if adopt {
						pc.JournalDir, pc.Adopt = filepath.Join(dir, "none"), true
					}
				})
				wakeAll(t, w)
				time.Sleep(time.Minute)
				mustGet(t, c, "k", want)
				if got, err := c.GetBytes(t.Context(), "never sent"); err == nil {
					t.Errorf("%d bytes of what nobody holds", len(got))
				}
				if got, err := c.GetBytes(t.Context(), "x"); err == nil && !bytes.Equal(got, want) {
					t.Errorf("%d bytes of what nobody holds", len(got))
				}
				wakeAll(t, w)
				time.Sleep(time.Minute)
				l.mu.Lock()
				defer l.mu.Unlock()
				if l.lists == 0 {
					t.Fatal("the inventory was not asked for")
				}
				for _, h := range l.names {
					if !l.freed[h.Chunk] && !(adopt && h.Chunk.Version == x+2) {
						t.Errorf("%v of %d bytes was not freed", h.Chunk, h.Size)
					}
				}
				s := w.Proxy.Status()
				if s.FalseHoldings < 5 {
					t.Errorf("%d false holdings counted, want 5 at least", s.FalseHoldings)
				}
				t.Logf("%d false holdings of %d", s.FalseHoldings, len(l.names))
			})
		})
	}
}

// wakeAll has every node play a session.
func wakeAll(t *testing.T, w *simcache.Cache) {
	t.Helper()
	for i := range 3 {
		_, _ = w.Client().PutBytes(t.Context(), fmt.Sprint("wake ", i), content(9, 3000))
	}
}
