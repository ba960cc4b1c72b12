package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/simnet"
	"github.com/infinicache/infinicache/internal/wire"
)

// An instance in a session of an earlier reign returns when it is refused. Were
// its node invoked before it has, the platform would start another instance.
func TestHelloOfAnEarlierReignHushesItsNode(t *testing.T) {
	bubble(t, 2, func(t *testing.T, r *rig) {
		e := r.dial()
		e.send(wire.TypeHello, 0, 0, &wire.Hello{
			Node: 0, Instance: wire.Instance{1}, Epoch: 6, Session: 40,
			Proof: wire.Secret(poolKey, 6, 0, 40), Capacity: 1 << 20, Used: 100, Chunks: 1,
		})
		if f := e.want(wire.TypeDone, nil); f.Code != wire.CodeStale {
			t.Errorf("refused with %v, want stale", f.Code)
		}
		r.pool.Seek(0)
		r.pool.Seek(1)
		if s := r.invoked(); s.Node != 1 {
			t.Errorf("node %d was invoked at once, want the other only", s.Node)
		}
		time.Sleep(90 * time.Millisecond)
		synctest.Wait()
		if len(r.sessions) != 0 {
			t.Error("the node was invoked before its instance could return")
		}
		time.Sleep(20 * time.Millisecond)
		if s := r.invoked(); s.Node != 0 {
			t.Errorf("node %d was invoked, want 0", s.Node)
		}
	})
}

// A hello with a good proof and a higher epoch tells that another proxy reigns.
func TestHelloOfALaterReignFences(t *testing.T) {
	for _, tt := range []struct {
		name  string
		key   []byte
		epoch uint64
		want  uint64
	}{
		{"later", poolKey, 8, 8},
		{"later, wrong secret", []byte("another key than that"), 8, 0},
		{"earlier", poolKey, 6, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := simnet.New(1)
				defer network.Close()
				var fenced uint64
				p, err := pool.New(pool.Config{
					Driver: &driver{}, Nodes: 1, Epoch: 7, Key: poolKey, Address: proxyAddr, Capacity: 10 << 20,
					OnFenced: func(epoch uint64) { fenced = epoch },
				})
				if err != nil {
					t.Fatal(err)
				}
				l, err := network.Listen(proxyAddr)
				if err != nil {
					t.Fatal(err)
				}
				r := &rig{t: t, net: network}
				e := r.dial()
				nc, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				go p.Serve(nc)
				e.send(wire.TypeHello, 0, 0, &wire.Hello{
					Instance: wire.Instance{1}, Epoch: tt.epoch, Session: 1, Proof: wire.Secret(tt.key, tt.epoch, 0, 1),
				})
				if f := e.want(wire.TypeDone, nil); f.Code == wire.CodeOK {
					t.Error("the hello was welcome")
				}
				if fenced != tt.want {
					t.Errorf("fenced by epoch %d, want %d", fenced, tt.want)
				}
			})
		})
	}
}

// What a catalog names decides what is remembered: lots come to life with their
// holders, and numbers that are named are not given out again.
func TestRememberedLots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := map[uint32]int{}
		p, err := pool.New(pool.Config{
			Driver: &driver{}, Nodes: 2, Epoch: 7, Key: poolKey, Address: proxyAddr, Capacity: 10 << 20, Adopt: true,
			OnHolders: func(_, lot uint32, holders []wire.Instance) { told[lot] = len(holders) },
		})
		if err != nil {
			t.Fatal(err)
		}
		a, b := wire.Instance{1}, wire.Instance{2}
		p.Remember(0, 3, []wire.Instance{a, b}, 5)
		p.Remember(0, 4, []wire.Instance{b}, 1)
		p.Remember(0, 5, []wire.Instance{a}, 0) // empty
		p.Remember(7, 90, []wire.Instance{a}, 1)
		p.Remember(0, 91, nil, 1)
		for _, tt := range []struct {
			node, lot uint32
			want      pool.State
		}{{0, 3, pool.Asleep}, {0, 5, pool.Lost}, {7, 90, pool.Lost}, {0, 91, pool.Lost}, {1, 3, pool.Lost}} {
			if got := p.State(catalog.Place{Node: tt.node, Instance: tt.lot}); got != tt.want {
				t.Errorf("lot %d of node %d is %v, want %v", tt.lot, tt.node, got, tt.want)
			}
		}
		if n, ok := told[5]; !ok || n != 0 {
			t.Error("the empty lot was not let go")
		}
		if p.Exposed(0) != 1 {
			t.Errorf("%d chunks are held by one instance, want 1", p.Exposed(0))
		}
		if !p.Holds(catalog.Place{Instance: 3}, b) || p.Holds(catalog.Place{Instance: 4}, a) {
			t.Error("holders are mixed up")
		}
	})
}
