package pool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// holding has instance 1 of node 0 hold a chunk and sleep.
func (r *rig) holding() *end {
	r.t.Helper()
	r.pool.Seek(0)
	s := r.invoked()
	a, _ := r.join(s, 1, 0, 0)
	call, _ := r.store(0, wire.Chunk{Version: 1}, 100)
	a.want(wire.TypeStore, nil)
	call.Block(wire.Block{}, make([]byte, 100), &owner{})
	a.want(wire.TypeBlock, nil)
	a.done(1, nil, uint64(cost(100)))
	synctest.Wait()
	r.sleep(s, a, 1)
	return a
}

// An instance whose machine died without a word, and was replaced: its link is still
// there, and it does not hear that it is to give way.
func TestDeafInstanceIsNotWaitedFor(t *testing.T) {
	bubbleWith(t, pool.Config{Nodes: 1, WarmEvery: -1}, func(t *testing.T, r *rig) {
		a := r.holding()
		r.next.Store(wire.Instance{2}.String())
		began := time.Now()
		for len(r.sessions) == 0 {
			if time.Since(began) > 10*time.Second {
				t.Fatal("the node is not invoked")
			}
			r.store(0, wire.Chunk{Version: 2}, 100)
			time.Sleep(500 * time.Millisecond)
		}
		a.want(wire.TypeNotice, nil)
		if d := time.Since(began); d < time.Second {
			t.Errorf("invoked after %v: the old instance had no time to hear of it", d)
		}
		_, _ = r.join(r.invoked(), 2, 0, 0)
	})
}

// One that hears of it leaves, and the next session waits for that.
func TestReleasedInstanceIsWaitedFor(t *testing.T) {
	bubbleWith(t, pool.Config{Nodes: 1, WarmEvery: -1}, func(t *testing.T, r *rig) {
		a := r.holding()
		r.next.Store(wire.Instance{2}.String())
		r.store(0, wire.Chunk{Version: 2}, 100)
		var s wire.Session
		a.want(wire.TypeNotice, &s)
		a.send(wire.TypeNotice, 0, 0, &s)
		a.want(wire.TypeStore, nil) // what waited is sent to it
		time.Sleep(4 * time.Second)
		if synctest.Wait(); len(r.sessions) != 0 {
			t.Error("invoked while the old instance leaves")
		}
		a.nc.Close()
		synctest.Wait()
		r.store(0, wire.Chunk{Version: 3}, 100)
		_, _ = r.join(r.invoked(), 2, 0, 0)
	})
}

// One whose link is cut while another stands ready is invoked by itself, while it is
// there to be found.
func TestOutlivedInstanceWithoutLinkIsSought(t *testing.T) {
	for _, tt := range []struct {
		name        string
		next, there wire.Instance
		sessions    int
		speaks      byte
		sought      int64
	}{
		{"it is there", wire.Instance{2}, wire.Instance{1}, 1, 1, 1},
		{"it is gone", wire.Instance{2}, wire.Instance{}, 3, 2, 2},
		{"it is the next", wire.Instance{1}, wire.Instance{1}, 1, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbleWith(t, pool.Config{Nodes: 1, WarmEvery: -1}, func(t *testing.T, r *rig) {
				a := r.holding()
				a.nc.Close()
				synctest.Wait()
				r.next.Store(tt.next.String())
				r.there.Store(tt.there.String())
				for range tt.sessions {
					r.pool.Seek(0)
					s := r.invoked()
					b, _ := r.join(s, tt.speaks, 0, 0)
					r.sleep(s, b, 0)
				}
				if n := r.sought.Load(); n != tt.sought {
					t.Errorf("it was sought %d times, want %d", n, tt.sought)
				}
			})
		})
	}
}

// One that is there and plays no session, for whatever reason, does not keep the node
// from its next one for long.
func TestInstanceThatFailsIsNotSoughtForEver(t *testing.T) {
	bubbleWith(t, pool.Config{Nodes: 1, WarmEvery: -1}, func(t *testing.T, r *rig) {
		a := r.holding()
		a.nc.Close()
		synctest.Wait()
		r.next.Store(wire.Instance{2}.String())
		r.there.Store(wire.Instance{1}.String())
		for range 2 {
			r.store(0, wire.Chunk{Version: 2}, 100)
			r.invoked().over <- &platform.Error{Kind: platform.Unavailable}
			synctest.Wait()
			time.Sleep(time.Minute) // the node rests
		}
		r.store(0, wire.Chunk{Version: 2}, 100)
		_, _ = r.join(r.invoked(), 2, 0, 0)
		if n := r.sought.Load(); n != 2 {
			t.Errorf("it was sought %d times, want 2", n)
		}
	})
}
