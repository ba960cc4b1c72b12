package node

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestHelloOnNewAndKeptLink(t *testing.T) {
	inWorld(t, Config{Memory: 128 << 20}, func(w *world) {
		inv := invocation(1)
		inv.Capacity = 0
		returned := w.invoke(inv)
		p := <-w.links
		first := p.welcome(inv)
		if most := store.CapacityOf(128 << 20); first.Capacity == 0 || int64(first.Capacity) > most {
			t.Errorf("capacity %d, want up to %d", first.Capacity, most)
		}
		if first.Used != 0 || first.Chunks != 0 || first.Position != 0 {
			t.Errorf("the first hello says that chunks are held: %+v", first)
		}
		p.put(10, 300_000)
		r := p.sleep(1, returned)
		if r.Chunks != 1 || r.Used != int64(cost(300_000)) || r.Instance != first.Instance {
			t.Errorf("returned %+v, want one chunk of %d bytes", r, cost(300_000))
		}

		inv = invocation(2)
		returned = w.invoke(inv)
		second := p.welcome(inv)
		if second.Instance != first.Instance || second.Used != cost(300_000) || second.Chunks != 1 || second.Position != 1 || second.Digest == first.Digest {
			t.Errorf("second hello %+v after %+v", second, first)
		}
		p.get(10, 300_000)
		p.sleep(1, returned)
		if len(w.links) != 0 {
			t.Error("the node dialled again although its link was kept")
		}
	})
}

func TestLingerAndStay(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		start := time.Now()
		p, returned := w.join(invocation(1))
		time.Sleep(60 * time.Millisecond)
		p.put(1, 1000) // begins the linger anew
		p.expect(wire.TypeSleep, 0, nil)
		if d := time.Since(start); d < 160*time.Millisecond || d > 170*time.Millisecond {
			t.Errorf("asked to sleep after %v, want 160ms", d)
		}
		p.say(wire.TypeStay, 0)
		p.get(1, 1000)
		p.sleep(2, returned)
		if d := time.Since(start); d < 260*time.Millisecond || d > 280*time.Millisecond {
			t.Errorf("slept after %v, want 260ms", d)
		}
	})
}

func TestLingerEndsBeforeTheQuantum(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		inv.Linger = wire.Linger{Quantum: 100 * time.Millisecond, Margin: 10 * time.Millisecond, Extra: true}
		start := time.Now()
		p, returned := w.join(inv)
		p.put(1, 1000)
		p.get(1, 1000) // the second request in this quantum buys another
		p.sleep(2, returned)
		if d := time.Since(start); d < 190*time.Millisecond || d >= 200*time.Millisecond {
			t.Errorf("slept after %v, want just after 190ms", d)
		}
	})
}

func TestRequestThatCrossesSleepIsServed(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.expect(wire.TypeSleep, 0, nil)
		p.get(1, 1000)
		p.say(wire.TypeStay, 0) // the answer to the SLEEP that the request made void
		p.sleep(2, returned)
	})
}

func TestSleepWithoutAnswerResetsTheLink(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.expect(wire.TypeSleep, 0, nil)
		start := time.Now()
		if r := <-returned; r.Reason != "no-answer" || time.Since(start) > time.Second {
			t.Errorf("returned %+v after %v", r, time.Since(start))
		}
		p.ended()
		p, returned = w.join(invocation(2))
		p.sleep(0, returned)
	})
}

func TestPingIsAnswered(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.say(wire.TypePing, 42)
		var s wire.Session
		p.expect(wire.TypePong, 0, &s)
		if s.Number != 42 || s.Session != 1 || s.Epoch != 7 {
			t.Errorf("PONG %+v", s)
		}
		p.sleep(0, returned)
	})
}

func TestSessionEndsBeforeTheDeadline(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
		defer cancel()
		inv := invocation(1)
		inv.Linger.Stay = time.Hour
		start := time.Now()
		returned := w.invokeFor(ctx, inv)
		p := <-w.links
		p.welcome(inv)
		p.put(1, 1000)
		s := p.beginStore(2, 500_000) // never ends
		p.sendBlock(s, 2, content(2, 500_000), 0)
		time.Sleep(time.Minute)
		time.Sleep(13*time.Minute + 55*time.Second)
		p.expect(wire.TypeBye, 0, nil)
		r := <-returned
		if r.Reason != "deadline" || r.Chunks != 1 || r.Used != int64(cost(1000)) {
			t.Errorf("returned %+v, want one chunk of %d bytes", r, cost(1000))
		}
		if d := time.Since(start); d < 14*time.Minute || d >= 15*time.Minute {
			t.Errorf("ended after %v of 15 minutes", d)
		}
		p.ended()
	})
}

func TestCanceledContextEndsTheSession(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		ctx, cancel := context.WithCancel(context.Background())
		inv := invocation(1)
		returned := w.invokeFor(ctx, inv)
		p := <-w.links
		p.welcome(inv)
		synctest.Wait()
		cancel()
		p.expect(wire.TypeBye, 0, nil)
		if r := <-returned; r.Reason != "deadline" {
			t.Errorf("returned %+v", r)
		}
		p.ended()
	})
}

func TestByeIsNotAwaitedFromADeafProxy(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 4<<20)
		w.net.Freeze("proxy")
		start := time.Now()
		w.node.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		if r := <-returned; r.Reason != "notice" {
			t.Errorf("returned %+v", r)
		}
		w.net.Thaw("proxy")
		payload, _ := invocation(2).Encode()
		if _, err := w.node.Invoke(context.Background(), payload); !errors.Is(err, ErrClosed) {
			t.Errorf("Invoke after Close = %v", err)
		}
	})
}

func TestRefusedHello(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		returned := w.invoke(inv)
		p := <-w.links
		p.hello(inv)
		code, d := wire.DoneOf(wire.ErrDenied)
		p.conn.Send(wire.TypeDone, code, 0, d)
		if r := <-returned; r.Reason != "refused" {
			t.Errorf("returned %+v", r)
		}
		p.ended()
	})
}

func TestNoProxy(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		inv.Proxy = "nobody:1"
		start := time.Now()
		if r := <-w.invoke(inv); r.Reason != "no-proxy" {
			t.Errorf("returned %+v", r)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("gave up after %v", d)
		}
		// One that accepts but says nothing is none either.
		inv = invocation(2)
		returned := w.invoke(inv)
		p := <-w.links
		p.hello(inv)
		if r := <-returned; r.Reason != "no-proxy" {
			t.Errorf("returned %+v", r)
		}
		p.ended()
	})
}

func TestDuplicateAndStaleSessions(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(5))
		if r := <-w.invoke(invocation(5)); r.Reason != "duplicate" {
			t.Errorf("the same session meanwhile returned %+v", r)
		}
		p.put(1, 1000)
		p.sleep(1, returned)
		for _, s := range []uint64{5, 4} {
			if r := <-w.invoke(invocation(s)); r.Reason != "duplicate" || r.Session != s || r.Epoch != 7 || r.Chunks != 1 {
				t.Errorf("session %d after 5 returned %+v", s, r)
			}
		}
		old := invocation(9)
		old.Epoch = 6
		if r := <-w.invoke(old); r.Reason != "stale-epoch" || r.Epoch != 7 || r.Session != 9 {
			t.Errorf("an earlier epoch returned %+v", r)
		}
		p.sleep(0, w.rejoin(p, invocation(6)))
	})
}

func TestEpochEmptiesTheStoreUnlessAdopted(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.sleep(1, returned)

		inv := invocation(1)
		inv.Epoch, inv.Adopt = 8, true
		returned = w.invoke(inv)
		p.ended() // it led to the proxy of the earlier epoch
		p = <-w.links
		if h := p.welcome(inv); h.Chunks != 1 || h.Position != 1 {
			t.Errorf("hello after adoption %+v, want the chunk kept", h)
		}
		p.get(1, 1000)
		p.sleep(1, returned)

		inv = invocation(1)
		inv.Epoch, inv.Capacity = 9, 64<<20
		returned = w.invoke(inv)
		p = <-w.links
		if h := p.welcome(inv); h.Chunks != 0 || h.Used != 0 || h.Capacity < 60<<20 || h.Position != 2 {
			t.Errorf("hello of a later epoch %+v, want nothing held and a new capacity", h)
		}
		p.done(p.beginFetch(1, 0, 1, wire.StreamCredit), wire.CodeNotHeld)
		p.sleep(1, returned)
	})
}

func TestLinkLostInTheSessionIsRenewed(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		inv := invocation(1)
		p, returned := w.join(inv)
		p.put(1, 1000)
		s := p.beginStore(2, 1<<20)
		p.sendBlock(s, 2, content(2, 1<<20), 0)
		synctest.Wait()
		w.net.Drop("node")
		p.ended()
		p = <-w.links
		if h := p.welcome(inv); h.Chunks != 1 || h.Used != cost(1000) {
			t.Errorf("hello after a cut %+v: the staged chunk is still there", h)
		}
		p.get(1, 1000)
		r := p.sleepAfter(1, 3, returned)
		if r.Used != int64(cost(1000)) {
			t.Errorf("returned %+v", r)
		}
	})
}

// sleepAfter is sleep where the session had more requests than this link.
func (p *peer) sleepAfter(onLink, inSession uint64, returned <-chan wire.Return) wire.Return {
	p.t.Helper()
	var s wire.Session
	p.expect(wire.TypeSleep, 0, &s)
	p.say(wire.TypeAsleep, 0)
	r := <-returned
	if s.Number != onLink || r.Requests != inSession || r.Reason != "slept" {
		p.t.Errorf("SLEEP after %d requests, returned %+v; want %d on the link, %d in all", s.Number, r, onLink, inSession)
	}
	return r
}

func TestLinkLostForGood(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		w.ln.Close()
		w.net.Drop("node")
		p.ended()
		start := time.Now()
		if r := <-returned; r.Reason != "link-lost" || time.Since(start) > 2*time.Second {
			t.Errorf("returned %+v after %v", r, time.Since(start))
		}
		w.listen()
		p, returned = w.join(invocation(2))
		p.get(1, 1000)
		p.sleep(1, returned)
	})
}

func TestLinkLostWhileAsleep(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.sleep(1, returned)
		w.net.Drop("node")
		p.ended()
		p, returned = w.join(invocation(2))
		p.get(1, 1000)
		p.sleep(1, returned)
	})
}

func TestInvocationsThatCannotBe(t *testing.T) {
	change := func(f func(*wire.Invocation)) []byte {
		inv := invocation(1)
		f(inv)
		b, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name    string
		payload []byte
		want    error
	}{
		{"no JSON", []byte("{"), wire.ErrProtocol},
		{"other version", change(func(i *wire.Invocation) { i.Protocol = 99 }), wire.ErrVersion},
		{"no capacity known", change(func(i *wire.Invocation) { i.Capacity = 0 }), store.ErrSize},
		{"too little capacity", change(func(i *wire.Invocation) { i.Capacity = 1 }), store.ErrSize},
	} {
		n, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Invoke(context.Background(), tc.payload); !errors.Is(err, tc.want) {
			t.Errorf("%s: Invoke = %v, want %v", tc.name, err, tc.want)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := New(Config{Memory: 20 << 20}); err == nil || !strings.Contains(err.Error(), "Memory") {
		t.Errorf("New with 20 MiB = %v, want a complaint", err)
	}
}

func TestAnotherNodesInvocation(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(1, 1000)
		p.sleep(1, returned)
		inv := invocation(2)
		inv.Node = 4
		payload, _ := json.Marshal(inv)
		if _, err := w.node.Invoke(context.Background(), payload); !errors.Is(err, wire.ErrRequest) {
			t.Errorf("Invoke = %v, want a refusal", err)
		}
		p.sleep(0, w.rejoin(p, invocation(2)))
	})
}
