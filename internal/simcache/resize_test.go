package simcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

func resize(t *testing.T, w *Cache, nodes int) {
	t.Helper()
	if err := w.Proxy.Resize(t.Context(), nodes, nil); err != nil {
		t.Fatalf("resize to %d: %v", nodes, err)
	}
	if n := len(w.Proxy.Status().Nodes); n != nodes {
		t.Fatalf("the pool has %d nodes, want %d", n, nodes)
	}
}

func TestPoolGrowsAndNewNodesTakeLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 8, Seed: 1})
		c := w.Client()
		want := load(t, c, 6, 3<<20)
		resize(t, w, 14)
		for i := range 20 {
			key := fmt.Sprint("new", i)
			want[key] = content(uint64(100+i), 3<<20)
			mustPut(t, c, key, want[key])
		}
		for _, n := range w.Proxy.Status().Nodes[8:] {
			if n.Held == 0 {
				t.Errorf("node %d took nothing of 20 objects", n.Node)
			}
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		w.NothingUnexplained()
	})
}

// A pool that shrinks keeps every object that it has room for, those included
// whose stripes are wider than it is now.
func TestPoolShrinksWithoutLoss(t *testing.T) {
	for _, shape := range []object.Shape{{}, {Data: 4, Parity: 2}, {Data: 1, Parity: 2}} {
		t.Run(fmt.Sprintf("%d+%d", shape.Data, shape.Parity), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: 14, Shape: shape, Seed: 2})
				c := w.Client()
				want := load(t, c, 12, 3<<20)
				before, _, _ := books(w)
				time.Sleep(5 * time.Second)
				repaired := w.Proxy.Status().ChunksRepaired // stragglers of the puts
				calls, last := 0, 0
				err := w.Proxy.Resize(t.Context(), 8, func(done, total int) {
					calls++
					if done > total || done < last {
						t.Errorf("progress %d of %d after %d", done, total, last)
					}
					last = done
				})
				if err != nil {
					t.Fatal(err)
				}
				if n := missing(t, c, want); n > 0 || calls == 0 {
					t.Errorf("%d objects are missing, %d calls of progress", n, calls)
				}
				after, dead, promised := books(w)
				if repaired == 0 && after != before || dead != 0 || promised != 0 {
					t.Errorf("%d bytes held, %d before; %d dead, %d promised", after, before, dead, promised)
				}
				s := w.Proxy.Status()
				if s.ChunksFailed > 0 || s.ChunksRepaired > repaired || s.Evicted > 0 {
					t.Errorf("%d chunks failed, %d repaired, %d objects evicted", s.ChunksFailed, s.ChunksRepaired, s.Evicted)
				}
				w.Platform.Reclaim(0) // one node more is still borne
				time.Sleep(5 * time.Second)
				if n := missing(t, c, want); n > 0 {
					t.Errorf("%d objects are missing after a reclaim", n)
				}
				w.NothingUnexplained()
			})
		})
	}
}

func TestPoolShrinksByEvictionWhereItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 14, Shape: object.Shape{Data: 4, Parity: 2}, Capacity: 8 << 20, Seed: 3})
		c := w.Client()
		want := load(t, c, 15, 4<<20)
		for i := 10; i < 15; i++ { // the hottest
			time.Sleep(time.Second)
			mustGet(t, c, fmt.Sprint("k", i), want[fmt.Sprint("k", i)])
		}
		resize(t, w, 8)
		gone := missing(t, c, want)
		if evicted := w.Proxy.Status().Evicted; gone == 0 || gone > 8 || int(evicted) < gone {
			t.Errorf("%d objects are missing, %d evicted", gone, evicted)
		}
		for i := range 15 {
			_, err := c.GetBytes(t.Context(), fmt.Sprint("k", i))
			if err != nil && infinicache.MissCause(err) != "evicted" {
				t.Errorf("k%d: %v", i, err)
			}
		}
		for _, n := range w.Proxy.Status().Nodes {
			if n.Held+n.Reserved > n.Capacity {
				t.Errorf("node %d holds %d and promises %d of %d", n.Node, n.Held, n.Reserved, n.Capacity)
			}
		}
		w.NothingUnexplained()
	})
}

func TestPoolShrinksBesideReadsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 14, Seed: 4})
		functionLinks(t, w, 14, 75_000_000)
		c := w.Client()
		want := load(t, c, 10, 3<<20)
		stop := make(chan struct{})
		var all sync.WaitGroup
		for i := range 3 {
			c := w.Client()
			all.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					key := fmt.Sprint("k", k%10)
					mustGet(t, c, key, want[key])
					own := fmt.Sprint("own", i)
					mustPut(t, c, own, content(uint64(k), 3<<20))
					mustGet(t, c, own, content(uint64(k), 3<<20))
				}
			})
		}
		// A large object of unknown size is on its way all the time.
		large := content(77, 40<<20)
		var stored atomic.Bool
		r, out := io.Pipe()
		all.Go(func() {
			if _, err := c.Put(t.Context(), "large", r, -1); err != nil {
				t.Logf("the large put: %v", err)
				if !errors.Is(err, wire.ErrUnavailable) {
					t.Errorf("the large put failed with %v", err)
				}
				r.CloseWithError(err)
				return
			}
			stored.Store(true)
		})
		all.Go(func() {
			for at := 0; at < len(large); at += 1 << 20 {
				if _, err := out.Write(large[at : at+1<<20]); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			out.Close()
		})
		time.Sleep(time.Second)
		began := time.Now()
		resize(t, w, 13)
		resize(t, w, 8)
		t.Logf("the resizes took %v", time.Since(began))
		time.Sleep(time.Second)
		resize(t, w, 14)
		time.Sleep(time.Second)
		close(stop)
		all.Wait()
		if stored.Load() {
			want["large"] = large
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		w.NothingUnexplained()
	})
}

func TestResizeRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 14, Shape: object.Shape{Data: 6, Parity: 2}, Seed: 5})
		functionLinks(t, w, 14, 2_000_000)
		c := w.Client()
		want := load(t, c, 8, 3<<20)
		for _, nodes := range []int{-1, 0, 7, pool.MaxNodes + 1} {
			if err := w.Proxy.Resize(t.Context(), nodes, nil); !errors.Is(err, wire.ErrRequest) {
				t.Errorf("resize to %d: %v, want a refusal", nodes, err)
			}
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		given := errors.New("given up")
		first := make(chan error, 1)
		go func() { first <- w.Proxy.Resize(ctx, 8, nil) }()
		time.Sleep(500 * time.Millisecond)
		if err := w.Proxy.Resize(t.Context(), 9, nil); !errors.Is(err, wire.ErrBusy) {
			t.Errorf("a second resize: %v, want busy", err)
		}
		cancel(given)
		if err := <-first; !errors.Is(err, given) {
			t.Errorf("a resize that was given up: %v", err)
		}
		if n := len(w.Proxy.Status().Nodes); n != 14 {
			t.Errorf("%d nodes after a resize that was given up, want 14", n)
		}
		for i := range 12 {
			key := fmt.Sprint("after", i)
			want[key] = content(uint64(i), 1<<20)
			mustPut(t, c, key, want[key])
		}
		time.Sleep(time.Minute)
		for _, n := range w.Proxy.Status().Nodes[8:] {
			if n.Held-n.Dead == 0 {
				t.Errorf("node %d takes no load after the resize that was given up", n.Node)
			}
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		resize(t, w, 8)
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing after all", n)
		}
		w.NothingUnexplained()
	})
}

// A pool that is smaller than its shape, because it was made so, may grow by less
// than would do.
func TestSmallPoolGrowsByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 5, Shape: object.Shape{Data: 6, Parity: 2}})
		resize(t, w, 6)
	})
}

// What instances hold that were not heard from is made anew from the other chunks.
func TestPoolShrinksWithUnheardInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 10, Shape: object.Shape{Data: 4, Parity: 2}, Seed: 6})
		c := w.Client()
		want := load(t, c, 10, 4<<20)
		time.Sleep(5 * time.Second)
		for _, node := range []int{8, 9} {
			defer w.Platform.Hide(node)()
		}
		resize(t, w, 8)
		time.Sleep(20 * time.Second)
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
		if s := w.Proxy.Status(); s.ChunksRepaired == 0 {
			t.Errorf("nothing was repaired: %d moved", s.ChunksMoved)
		}
		failed := w.Proxy.Status().ChunksFailed
		missing(t, c, want)
		if n := w.Proxy.Status().ChunksFailed - failed; n > 0 {
			t.Errorf("%d chunks are not where the catalog says", n)
		}
		w.NothingUnexplained()
	})
}

// Numbers that come again are those of other nodes: instances of the former ones,
// asleep or still in session, pass for nothing.
func TestNodesWhoseNumbersComeAgain(t *testing.T) {
	for _, tt := range []string{"asleep", "in session", "stopped"} {
		t.Run(tt, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: 14, Shape: object.Shape{Data: 4, Parity: 2}, Seed: 7})
				c := w.Client()
				want := load(t, c, 20, 1<<20)
				for range 5 { // sessions have numbers above 1
					time.Sleep(3 * time.Second)
					missing(t, c, want)
				}
				var goOn []func()
				switch tt {
				case "asleep":
					time.Sleep(3 * time.Second)
				case "stopped":
					for n := 8; n < 14; n++ {
						goOn = append(goOn, w.Platform.Stop(n))
					}
				}
				resize(t, w, 8)
				resize(t, w, 14)
				for i := range 20 {
					key := fmt.Sprint("new", i)
					want[key] = content(uint64(200+i), 1<<20)
					mustPut(t, c, key, want[key])
				}
				for _, f := range goOn {
					f()
				}
				for range 4 {
					time.Sleep(3 * time.Second)
					// Where former instances go on beside new ones the platform may
					// wake either.
					if n := missing(t, c, want); n > 0 && tt != "stopped" {
						t.Errorf("%d objects are missing", n)
					}
				}
				time.Sleep(time.Minute)
				live, dead, promised := books(w)
				most := int64(len(want)) * 6 * pool.Cost(256<<10, 256)
				if live > most || dead != 0 || promised != 0 {
					t.Errorf("%d bytes are held, %d at most are needed; %d dead, %d promised", live, most, dead, promised)
				}
				invoked, _ := w.Platform.Invocations()
				missing(t, c, want)
				time.Sleep(5 * time.Second)
				after, _ := w.Platform.Invocations()
				if after-invoked > 14 {
					t.Errorf("%d invocations to read all, 14 nodes", after-invoked)
				}
				w.NothingUnexplained()
			})
		})
	}
}
