package simcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

func TestRoundTripsOfManySizesAndPools(t *testing.T) {
	for _, pool := range []struct {
		nodes int
		shape object.Shape
	}{{1, object.Shape{}}, {2, object.Shape{}}, {5, object.Shape{}}, {14, object.Shape{}}, {14, object.Shape{Data: 4, Parity: 2}}, {200, object.Shape{}}} {
		t.Run(fmt.Sprintf("%d nodes %d+%d", pool.nodes, pool.shape.Data, pool.shape.Parity), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: pool.nodes, Shape: pool.shape})
				c := w.Client()
				for i, n := range []int{0, 1, 9, 1 << 10, 100 << 10, 256<<10 + 1, 1 << 20, 10 << 20, 16<<20 + 1, 25<<20 + 7} {
					key, want := fmt.Sprintf("k%d", n), content(uint64(i), n)
					if _, err := c.PutBytes(t.Context(), key, want); err != nil {
						t.Fatalf("put of %d bytes: %v", n, err)
					}
					got, err := c.GetBytes(t.Context(), key)
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("get of %d bytes: %d bytes, error %v, equal %v", n, len(got), err, bytes.Equal(got, want))
					}
				}
				w.NothingUnexplained()
			})
		})
	}
}

func TestNodesSleepAndWakeWithWhatTheyHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		c := w.Client()
		want := content(1, 5<<20)
		if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(10 * time.Second)
			if n := w.Platform.Busy(); n != 0 {
				t.Fatalf("%d nodes are in session after 10 s without requests", n)
			}
			got, err := c.GetBytes(t.Context(), "k")
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("get: error %v, equal %v", err, bytes.Equal(got, want))
			}
		}
		if _, started := w.Platform.Invocations(); started != 12 {
			t.Errorf("%d instances were started for 12 chunks, want 12", started)
		}
		w.NothingUnexplained()
	})
}

func TestReclaimOfUpToPIsHealedAndOfMoreIsAMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 12})
		c := w.Client()
		want := content(1, 10<<20)
		if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			time.Sleep(time.Minute)
			w.Platform.Reclaim(2 * round)
			w.Platform.Reclaim(2*round + 1)
			for range 4 {
				time.Sleep(5 * time.Second)
				got, err := c.GetBytes(t.Context(), "k")
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("round %d: error %v, equal %v", round, err, bytes.Equal(got, want))
				}
			}
		}
		if n := w.Proxy.Status().ChunksRepaired; n != 6 {
			t.Errorf("%d chunks repaired, want 6", n)
		}
		for n := range 3 {
			w.Platform.Reclaim(n)
		}
		_, err := c.GetBytes(t.Context(), "k")
		if !errors.Is(err, infinicache.ErrNotFound) {
			t.Errorf("get with three of twelve gone: %v, want a miss", err)
		}
		if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
			t.Errorf("put after the loss: %v", err)
		}
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("get after the put: %v", err)
		}
		w.NothingUnexplained()
	})
}

func TestWritersAndReadersOfOneKeyNeverSeeAMixture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		var wg sync.WaitGroup
		versions := make([][]byte, 8)
		for i := range versions {
			versions[i] = content(uint64(i), 3<<20)
		}
		for i := range 4 {
			c := w.Client()
			wg.Go(func() {
				for round := range 10 {
					v := versions[(i+round)%len(versions)]
					if _, err := c.PutBytes(t.Context(), "k", v); err != nil {
						t.Errorf("put: %v", err)
					}
				}
			})
			reader := w.Client()
			wg.Go(func() {
				for range 20 {
					got, err := reader.GetBytes(t.Context(), "k")
					if errors.Is(err, infinicache.ErrNotFound) {
						continue
					}
					if err != nil {
						t.Errorf("get: %v", err)
						continue
					}
					one := false
					for _, v := range versions {
						one = one || bytes.Equal(got, v)
					}
					if !one {
						t.Errorf("get gave %d bytes that nobody wrote", len(got))
					}
				}
			})
		}
		wg.Wait()
		w.NothingUnexplained()
	})
}

func TestEvictionKeepsNodesWithinCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 12, Capacity: 16 << 20})
		c := w.Client()
		hits := 0
		for i := range 60 {
			key := fmt.Sprintf("k%d", i)
			if _, err := c.PutBytes(t.Context(), key, content(uint64(i), 4<<20+i*1000)); err != nil {
				t.Fatalf("put %d: %v", i, err)
			}
			if i%7 == 0 {
				time.Sleep(3 * time.Second)
			}
			got, err := c.GetBytes(t.Context(), key)
			if err != nil || !bytes.Equal(got, content(uint64(i), 4<<20+i*1000)) {
				t.Fatalf("get %d right after its put: %v", i, err)
			}
			for _, n := range w.Proxy.Status().Nodes {
				if n.Held+n.Reserved > n.Capacity {
					t.Fatalf("node %d: %d held and %d reserved of %d", n.Node, n.Held, n.Reserved, n.Capacity)
				}
			}
		}
		for i := range 60 {
			if _, err := c.GetBytes(t.Context(), fmt.Sprintf("k%d", i)); err == nil {
				hits++
			} else if infinicache.MissCause(err) != wire.CauseEvicted.String() {
				t.Errorf("k%d: %v, want a miss by eviction", i, err)
			}
		}
		if hits < 20 || w.Proxy.Status().Evicted == 0 {
			t.Errorf("%d of 60 still there and %d evicted, want at least 20 and some", hits, w.Proxy.Status().Evicted)
		}
		if _, err := c.PutBytes(t.Context(), "huge", make([]byte, 400<<20)); !errors.Is(err, infinicache.ErrTooLarge) {
			t.Errorf("put of 400 MiB: %v, want too large", err)
		}
		w.NothingUnexplained()
	})
}

func TestClientThatLeavesInMidGetHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		c := w.Client()
		want := content(1, 30<<20)
		if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			gone := w.Client()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*300*time.Microsecond)
			_, _ = gone.GetBytes(ctx, "k")
			cancel()
			gone.Close()
			got, err := c.GetBytes(t.Context(), "k")
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("get after client %d left: %v", i, err)
			}
		}
		time.Sleep(time.Minute)
		if s := w.Proxy.Status(); s.Pinned != 0 || s.Staged != 0 {
			t.Errorf("%d pins and %d staged versions are left", s.Pinned, s.Staged)
		}
		w.NothingUnexplained()
	})
}

// Pauses shorter than the linger cost no invocation and no preflight.
func TestPauseBetweenReadsWakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		c := w.Client()
		want := content(1, 10<<20)
		if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
			t.Fatal(err)
		}
		if _, err := c.GetBytes(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		before, _ := w.Platform.Invocations()
		for range 40 {
			time.Sleep(150 * time.Millisecond)
			began := time.Now()
			got, err := c.GetBytes(t.Context(), "k")
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("get: %v", err)
			}
			if d := time.Since(began); d > w.Platform.Thaw {
				t.Errorf("a read took %v, as long as a wake-up", d)
			}
		}
		// The two parity nodes may have gone to sleep: nothing asks them.
		if after, _ := w.Platform.Invocations(); after != before {
			t.Errorf("%d invocations for 40 reads with pauses of 150 ms", after-before)
		}
	})
}
