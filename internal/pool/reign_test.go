package pool_test

import (
	"context"
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
		time.Sleep(290 * time.Millisecond)
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
				go p.Serve(nc, func() {})
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

// What is stored in an instance while its holdings are compared is not taken for
// something that nobody names.
func TestComparisonSparesWhatLandsMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, net: simnet.New(1), driver: &driver{sessions: make(chan *session, 64)}}
		defer r.net.Close()
		heard := 0
		var err error
		r.pool, err = pool.New(pool.Config{
			Driver: r.driver, Nodes: 1, Epoch: 7, Key: poolKey, Address: proxyAddr, Capacity: 10 << 20, Adopt: true,
			OnHeard: func(uint32, wire.Instance) { heard++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		l, err := r.net.Listen(proxyAddr)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
				go r.pool.Serve(nc, func() {})
			}
		}()
		id := wire.Instance{1}
		r.pool.Remember(0, 3, []wire.Instance{id}, 2)
		time.Sleep(time.Second) // no session of an earlier reign is left
		r.pool.Seek(0)
		e, _ := r.join(r.invoked(), 1, 1000, 2)
		synctest.Wait()
		if heard != 1 {
			t.Fatalf("the instance was heard %d times, want 1", heard)
		}
		repaired, garbage := wire.Chunk{Version: 5<<36 + 1}, wire.Chunk{Version: 5<<36 + 2}
		call, res := r.store(0, repaired, 10)
		e.want(wire.TypeStore, nil)
		call.Block(wire.Block{}, make([]byte, 10), &owner{})
		e.want(wire.TypeBlock, nil)
		e.done(1, nil, 0)
		synctest.Wait()
		if res.err != nil {
			t.Fatal(res.err)
		}
		r.pool.Disown(0, id, repaired, cost(10))
		r.pool.Disown(0, id, garbage, cost(10))
		var free wire.Free
		e.want(wire.TypeFree, &free)
		if len(free.Chunks) != 1 || free.Chunks[0] != garbage {
			t.Errorf("the instance was told to free %v, want %v alone", free.Chunks, garbage)
		}
		e.done(2, nil, 1000)

		// One that was not finished is asked for at the next hello.
		r.pool.Compared(0, id, false)
		again := r.dial()
		s := &session{Invocation: wire.Invocation{Node: 0, Epoch: 7, Session: 1}}
		again.send(wire.TypeHello, 0, 0, s.hello(1, 1000, 2))
		again.want(wire.TypeWelcome, nil)
		synctest.Wait()
		if heard != 2 {
			t.Errorf("the instance was heard %d times, want 2", heard)
		}
		r.pool.Compared(0, id, true)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		e.nc.Close()
		again.nc.Close()
		_ = r.pool.Run(ctx)
	})
}
