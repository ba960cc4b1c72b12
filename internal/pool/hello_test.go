package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestHellosThatAreRefused(t *testing.T) {
	for name, change := range map[string]func(*wire.Hello){
		"wrong secret":    func(h *wire.Hello) { h.Proof[3]++ },
		"unknown node":    func(h *wire.Hello) { h.Node = 9; h.Proof = wire.Secret(poolKey, h.Epoch, 9, h.Session) },
		"another epoch":   func(h *wire.Hello) { h.Epoch = 8; h.Proof = wire.Secret(poolKey, 8, h.Node, h.Session) },
		"another session": func(h *wire.Hello) { h.Session = 5; h.Proof = wire.Secret(poolKey, h.Epoch, h.Node, 5) },
		"another's proof": func(h *wire.Hello) { h.Proof = wire.Secret(poolKey, h.Epoch, 1, h.Session) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, r *rig) {
				r.pool.Seek(0)
				s := r.invoked()
				h := s.hello(1, 0, 0)
				change(h)
				e := r.dial()
				e.send(wire.TypeHello, 0, 0, h)
				if f := e.next(); f.Type != wire.TypeDone || f.Stream != 0 || f.Code == wire.CodeOK {
					t.Errorf("got %v %v, want DONE on stream 0 with a reason", f.Type, f.Code)
				}
				if f := e.next(); f.Type != 0 {
					t.Errorf("the link stays open: %v", f.Type)
				}
				if _, number := r.join(s, 2, 0, 0); number != 0 {
					t.Errorf("welcome %d after the refusal, want 0", number)
				}
			})
		})
	}
}

func TestSecondHelloOnALinkIsABreach(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.pool.Seek(0)
		s := r.invoked()
		e, _ := r.join(s, 1, 0, 0)
		e.send(wire.TypeHello, 0, 0, s.hello(1, 0, 0))
		if f := e.want(wire.TypeDone, nil); f.Code != wire.CodeProtocol {
			t.Errorf("code %v, want protocol", f.Code)
		}
	})
}

func TestFramesBeforeHelloEndTheLink(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		e := r.dial()
		e.done(1, nil, 0)
		if f := e.next(); f.Type != 0 {
			t.Errorf("got %v, want the end of the link", f.Type)
		}
	})
}

func TestLinkWithoutHelloIsClosed(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.dial()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if n := r.net.Open(); n == 0 {
			t.Error("closed before its time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		e := r.dial() // silent as well; the first must be gone
		synctest.Wait()
		if n := r.net.Open(); n > 2 {
			t.Errorf("%d ends are open, want those of the newest link", n)
		}
		_ = e
	})
}

func TestInstancesOfANode(t *testing.T) {
	bubble(t, 1, func(t *testing.T, r *rig) {
		r.pool.Seek(0)
		s := r.invoked()
		a, _ := r.join(s, 1, 0, 0)
		call, res := r.store(0, wire.Chunk{Version: 1}, 100)
		a.want(wire.TypeStore, nil)
		call.Block(wire.Block{}, make([]byte, 100), &owner{})
		a.want(wire.TypeBlock, nil)
		a.done(1, nil, uint64(cost(100)))
		synctest.Wait()
		at := res.at
		if res.err != nil || r.pool.State(at) != pool.Ready {
			t.Fatalf("error %v, chunk is %v, want ready", res.err, r.pool.State(at))
		}
		r.sleep(s, a, 1)
		if r.pool.State(at) != pool.Asleep {
			t.Errorf("chunk is %v, want asleep", r.pool.State(at))
		}

		r.pool.Seek(0)
		s = r.invoked()
		b, _ := r.join(s, 2, 0, 0)
		if r.pool.State(at) != pool.Unheard {
			t.Errorf("chunk is %v beside a fresh instance, want unheard", r.pool.State(at))
		}
		r.books(0, 0, 0, 0)
		got := &sink{}
		r.pool.Fetch(at, wire.Chunk{Version: 1}, 0, 1, 1<<20, lifecycle.Serve, got)
		if wire.CodeOf(got.err) != wire.CodeUnheard {
			t.Errorf("fetch from an unheard instance: %v", got.err)
		}
		r.sleep(s, b, 0)

		r.pool.Seek(0)
		s = r.invoked()
		b, _ = r.join(s, 2, 0, 0)
		synctest.Wait()
		if r.pool.State(at) != pool.Lost || len(r.lost) != 1 || r.lost[0] != at.Instance {
			t.Errorf("chunk is %v after two sessions of another, lost are %v", r.pool.State(at), r.lost)
		}
		got = &sink{}
		r.pool.Fetch(at, wire.Chunk{Version: 1}, 0, 1, 1<<20, lifecycle.Serve, got)
		if wire.CodeOf(got.err) != wire.CodeLost || got.ended != 1 {
			t.Errorf("fetch from a lost instance: %v, %d ends", got.err, got.ended)
		}
		r.sleep(s, b, 0)

		r.pool.Seek(0)
		s = r.invoked()
		_, number := r.join(s, 1, uint64(cost(100)), 1)
		if number != 1 {
			t.Errorf("welcome %d for an instance that was given up, want 1: drop what you hold", number)
		}
		r.books(0, 0, 0, 0)
		if r.pool.State(at) != pool.Lost {
			t.Errorf("the chunk it was told to drop is %v", r.pool.State(at))
		}
	})
}
