package simcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func drain(t *testing.T, w *Cache, nodes ...uint32) {
	t.Helper()
	if err := w.Proxy.Drain(t.Context(), nodes, nil); err != nil {
		t.Fatalf("drain %v: %v", nodes, err)
	}
	for _, n := range nodes {
		if s := w.Proxy.Status().Nodes[n]; s.State != "drained" || s.Reserved != 0 {
			t.Errorf("node %d after its drain: %+v", n, s)
		}
	}
}

func admit(t *testing.T, w *Cache, nodes ...uint32) {
	t.Helper()
	if err := w.Proxy.Admit(nodes); err != nil {
		t.Fatalf("admit %v: %v", nodes, err)
	}
	for _, n := range nodes {
		if s := w.Proxy.Status().Nodes[n]; s.State == "drained" {
			t.Errorf("node %d is drained after it was admitted", n)
		}
	}
}

// nothingLost fails the test if anything was lost, or out of reach.
func nothingLost(t *testing.T, w *Cache) {
	t.Helper()
	s := w.Proxy.Status()
	if s.ObjectsLost+s.InstancesLost+s.Misses["lost"]+s.Misses["unheard"] > 0 {
		t.Errorf("%d objects and %d instances are lost, misses %v", s.ObjectsLost, s.InstancesLost, s.Misses)
	}
	w.NothingUnexplained()
}

// traffic reads want and writes keys of its own, by three clients, until stop.
func traffic(t *testing.T, w *Cache, want map[string][]byte) (stop func()) {
	t.Helper()
	ending := make(chan struct{})
	var all sync.WaitGroup
	for i := range 3 {
		c := w.Client()
		all.Go(func() {
			own := fmt.Sprint("own", i)
			for k := 0; ; k++ {
				select {
				case <-ending:
					return
				case <-time.After(20 * time.Millisecond):
				}
				key := fmt.Sprint("k", k%len(want))
				mustGet(t, c, key, want[key])
				body := content(uint64(k), 1<<20)
				mustPut(t, c, own, body)
				mustGet(t, c, own, body)
			}
		})
	}
	return func() {
		close(ending)
		all.Wait()
	}
}

// A rolling deployment: a third of the nodes at a time, more than objects have parity
// for, is drained, loses all its instances, and is admitted; under reads and writes,
// and with backups, which give every node two instances.
func TestRollingDeploymentLosesNothing(t *testing.T) {
	for _, backup := range []time.Duration{-1, 3 * time.Second} {
		t.Run(fmt.Sprintf("backup %v", backup), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: 9, Shape: object.Shape{Data: 4, Parity: 2}, Warm: 10 * time.Second, Backup: backup, Seed: 1})
				functionLinks(t, w, 9, 75_000_000)
				want := load(t, w.Client(), 10, 2<<20)
				stop := traffic(t, w, want)
				time.Sleep(5 * time.Second)
				taken := 0
				for first := range uint32(3) {
					nodes := []uint32{first, first + 3, first + 6}
					before := w.Proxy.Status().Nodes
					drain(t, w, nodes...)
					time.Sleep(time.Second) // sessions end by themselves
					for _, n := range nodes {
						taken += w.Platform.Reclaim(int(n))
					}
					time.Sleep(time.Second)
					admit(t, w, nodes...)
					time.Sleep(3 * time.Second)
					for _, n := range nodes {
						// What a node holds of the few objects that are written comes and goes.
						s := w.Proxy.Status().Nodes[n]
						for range 100 {
							if s.Held > 0 && s.Sessions > before[n].Sessions {
								break
							}
							time.Sleep(30 * time.Millisecond)
							s = w.Proxy.Status().Nodes[n]
						}
						if s.Held == 0 || s.Sessions <= before[n].Sessions {
							t.Errorf("node %d takes no load after it was admitted: %+v", n, s)
						}
					}
				}
				stop()
				if taken < 9 || backup > 0 && taken < 18 {
					t.Errorf("%d instances were replaced", taken)
				}
				if n := missing(t, w.Client(), want); n > 0 {
					t.Errorf("%d objects are missing", n)
				}
				if s := w.Proxy.Status(); s.Evicted > 0 {
					t.Errorf("%d objects were evicted", s.Evicted)
				}
				nothingLost(t, w)
			})
		})
	}
}

// A drained node is left alone: no chunk, no session, whatever goes on beside it.
func TestDrainedNodeIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 10, Capacity: 8 << 20, Shape: object.Shape{Data: 4, Parity: 2}, Warm: 5 * time.Second, Backup: 3 * time.Second, Seed: 2})
		c := w.Client()
		want := load(t, c, 8, 4<<20)
		drain(t, w, 2, 7)
		time.Sleep(2 * time.Second) // it may linger
		before := w.Proxy.Status().Nodes
		for i := range 40 { // more than there is room for
			mustPut(t, c, fmt.Sprint("new", i), content(uint64(i), 4<<20))
			time.Sleep(500 * time.Millisecond)
		}
		missing(t, c, want)
		w.Platform.Reclaim(4)
		for i := range 40 {
			_, err := c.GetBytes(t.Context(), fmt.Sprint("new", i))
			if err != nil && infinicache.MissCause(err) != "evicted" {
				t.Errorf("new%d: %v", i, err)
			}
		}
		time.Sleep(time.Minute)
		after := w.Proxy.Status()
		for _, n := range []int{2, 7} {
			if b, a := before[n], after.Nodes[n]; a.Sessions != b.Sessions || a.Held > b.Held || a.Reserved > 0 || a.Queued > 0 {
				t.Errorf("node %d is drained, and was %+v, is %+v", n, b, a)
			}
		}
		if after.Evicted == 0 || after.Backups == 0 || after.ChunksRepaired == 0 {
			t.Errorf("%d evicted, %d backups, %d repaired: nothing went on", after.Evicted, after.Backups, after.ChunksRepaired)
		}
		w.NothingUnexplained()
	})
}

// Old instances that live on are no harm: in session when their node is admitted, or
// heard again later.
func TestOldInstanceSpeaksAfterAdmit(t *testing.T) {
	for _, tt := range []string{"in session", "asleep", "beside a new one"} {
		t.Run(tt, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: 7, Shape: object.Shape{Data: 4, Parity: 2}, Seed: 3})
				c := w.Client()
				want := load(t, c, 10, 2<<20)
				time.Sleep(3 * time.Second)
				missing(t, c, want)
				drain(t, w, 1)
				show := func() {}
				switch tt {
				case "asleep":
					time.Sleep(3 * time.Second)
				case "beside a new one":
					time.Sleep(3 * time.Second)
					show = w.Platform.Hide(1)
				}
				admit(t, w, 1)
				for i := range 10 {
					key := fmt.Sprint("new", i)
					want[key] = content(uint64(100+i), 2<<20)
					mustPut(t, c, key, want[key])
				}
				show()
				for range 5 {
					time.Sleep(3 * time.Second)
					if n := missing(t, c, want); n > 0 {
						t.Errorf("%d objects are missing", n)
					}
				}
				s := w.Proxy.Status()
				if n := s.Nodes[1]; n.Dead > 0 || n.Reserved > 0 || n.Sessions < 2 {
					t.Errorf("node 1 after all: %+v", n)
				}
				if tt != "beside a new one" { // which the platform passes over then
					nothingLost(t, w)
				}
				w.NothingUnexplained()
			})
		})
	}
}

func TestDrainMakesRoomByEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 10, Shape: object.Shape{Data: 4, Parity: 2}, Capacity: 8 << 20, Seed: 4})
		c := w.Client()
		want := load(t, c, 11, 4<<20)
		drain(t, w, 0, 3, 4, 9)
		gone, evicted := missing(t, c, want), w.Proxy.Status().Evicted
		if gone == 0 || int(evicted) < gone {
			t.Errorf("%d objects are missing, %d evicted", gone, evicted)
		}
		if s := w.Proxy.Status(); s.Misses["evicted"] != uint64(gone) {
			t.Errorf("%d objects are missing, misses %v", gone, s.Misses)
		}
		nothingLost(t, w)
	})
}

func TestDrainRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 10, Shape: object.Shape{Data: 4, Parity: 2}, Seed: 5})
		functionLinks(t, w, 10, 2_000_000)
		c := w.Client()
		want := load(t, c, 8, 3<<20)
		for _, nodes := range [][]uint32{{10}, {1, 1 << 31}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}} {
			if err := w.Proxy.Drain(t.Context(), nodes, nil); !errors.Is(err, wire.ErrRequest) {
				t.Errorf("drain %v: %v, want a refusal", nodes, err)
			}
		}
		if err := w.Proxy.Admit([]uint32{3, 10}); !errors.Is(err, wire.ErrRequest) {
			t.Errorf("admit 10: %v, want a refusal", err)
		}
		admit(t, w, 3) // which is not drained

		ctx, cancel := context.WithCancelCause(t.Context())
		given := errors.New("given up")
		first := make(chan error, 1)
		go func() { first <- w.Proxy.Drain(ctx, []uint32{4, 5}, nil) }()
		time.Sleep(500 * time.Millisecond)
		for what, err := range map[string]error{
			"a second drain": w.Proxy.Drain(t.Context(), []uint32{6}, nil),
			"a resize":       w.Proxy.Resize(t.Context(), 12, nil),
			"an admission":   w.Proxy.Admit([]uint32{4}),
		} {
			if !errors.Is(err, wire.ErrBusy) {
				t.Errorf("%s: %v, want busy", what, err)
			}
		}
		cancel(given)
		if err := <-first; !errors.Is(err, given) {
			t.Errorf("a drain that was given up: %v", err)
		}
		go func() { first <- w.Proxy.Resize(t.Context(), 8, nil) }()
		time.Sleep(500 * time.Millisecond)
		if err := w.Proxy.Drain(t.Context(), []uint32{1}, nil); !errors.Is(err, wire.ErrBusy) {
			t.Errorf("a drain during a resize: %v, want busy", err)
		}
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			key := fmt.Sprint("after", i)
			want[key] = content(uint64(i), 1<<20)
			mustPut(t, c, key, want[key])
		}
		time.Sleep(time.Minute)
		for _, n := range w.Proxy.Status().Nodes {
			if n.Held-n.Dead == 0 || n.State == "drained" {
				t.Errorf("node %d takes no load after the drain that was given up", n.Node)
			}
		}

		drain(t, w, 2, 2)
		began := time.Now()
		drain(t, w, 2)
		if took := time.Since(began); took > 0 {
			t.Errorf("draining a drained node took %v", took)
		}
		drain(t, w, 5)
		drain(t, w, 2, 5)
		for what, err := range map[string]error{
			"a drain":  w.Proxy.Drain(t.Context(), []uint32{2, 3}, nil),
			"a resize": w.Proxy.Resize(t.Context(), 7, nil),
		} {
			if !errors.Is(err, wire.ErrRequest) {
				t.Errorf("%s that leaves 5 nodes: %v, want a refusal", what, err)
			}
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		nothingLost(t, w)
	})
}

// Nodes that cannot be drained, because nobody can be woken, take chunks again.
func TestDrainThatCannotFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 8, Shape: object.Shape{Data: 4, Parity: 2}, Seed: 6})
		c := w.Client()
		want := load(t, c, 10, 3<<20)
		time.Sleep(3 * time.Second)
		w.Platform.Throttle(1 << 30)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		err := w.Proxy.Drain(ctx, []uint32{0, 1}, nil)
		if !errors.Is(err, wire.ErrUnavailable) {
			t.Errorf("a drain of nodes that cannot be woken: %v, want unavailable", err)
		}
		w.Platform.Throttle(0)
		time.Sleep(time.Minute)
		for i := range 12 {
			key := fmt.Sprint("after", i)
			want[key] = content(uint64(i), 1<<20)
			mustPut(t, c, key, want[key])
		}
		for _, n := range w.Proxy.Status().Nodes {
			if n.Held == 0 || n.Reserved > 0 || n.State == "drained" {
				t.Errorf("node %d after the drain that failed: %+v", n.Node, n)
			}
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		nothingLost(t, w)
	})
}

// A version that was replaced is in no catalog, but may be read still: it is waited
// for, up to 30 s.
func TestDrainWaitsForReadersOfReplacedVersions(t *testing.T) {
	for reads, most := range map[time.Duration]time.Duration{10 * time.Second: 11 * time.Second, time.Hour: 31 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := New(t, Config{Nodes: 6, Seed: 9}) // each has a chunk
			c := w.Client()
			mustPut(t, c, "k", content(1, 3<<20))
			r, err := w.Proxy.Open(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			mustPut(t, c, "k", content(2, 3<<20))
			reader := time.AfterFunc(reads, func() { r.Close() })
			began := time.Now()
			drain(t, w, 0)
			if took := time.Since(began); took < min(reads, 30*time.Second) || took > most {
				t.Errorf("with a reader of %v the drain took %v", reads, took)
			}
			reader.Stop()
			r.Close()
			mustGet(t, c, "k", content(2, 3<<20))
		})
	}
}

// A proxy that is started again has no drained nodes, and knows where things are.
func TestRestartForgetsDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 8, Shape: object.Shape{Data: 4, Parity: 2}, JournalDir: t.TempDir(), Seed: 7})
		want := load(t, w.Client(), 10, 3<<20)
		drain(t, w, 3, 6)
		time.Sleep(2 * time.Second)
		w.Kill()
		w.Platform.Reclaim(3)
		w.Platform.Reclaim(6)
		w.Restart()
		c := w.Client()
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		for i := range 12 {
			key := fmt.Sprint("after", i)
			want[key] = content(uint64(i), 1<<20)
			mustPut(t, c, key, want[key])
		}
		for _, n := range w.Proxy.Status().Nodes {
			if n.Held == 0 || n.State == "drained" {
				t.Errorf("node %d after the restart: %+v", n.Node, n)
			}
		}
		drain(t, w, 3, 6)
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing after another drain", n)
		}
		nothingLost(t, w)
	})
}

// Nodes that were removed while they were drained are as new when they come again.
func TestDrainedNodesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 9, Shape: object.Shape{Data: 4, Parity: 2}, Seed: 8})
		c := w.Client()
		want := load(t, c, 10, 3<<20)
		drain(t, w, 8)
		resize(t, w, 7)
		resize(t, w, 9)
		for i := range 12 {
			key := fmt.Sprint("after", i)
			want[key] = content(uint64(i), 1<<20)
			mustPut(t, c, key, want[key])
		}
		if s := w.Proxy.Status().Nodes[8]; s.Held == 0 || s.State == "drained" {
			t.Errorf("node 8, which is new: %+v", s)
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		nothingLost(t, w)
	})
}
