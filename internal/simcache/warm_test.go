package simcache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

// A large pool is kept warm a few nodes at a time.
func TestWarmUpsOfALargePoolAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes = 400
		w := New(t, Config{Nodes: nodes, Shape: object.Shape{Data: 1, Parity: 1}, Warm: time.Minute, Seed: 1})
		c := w.Client()
		load(t, c, 4*nodes, 2000)
		time.Sleep(2 * time.Minute)
		holding := 0
		for _, n := range w.Proxy.Status().Nodes {
			if n.Held > 0 {
				holding++
			}
		}
		before := w.Platform.invoked()
		most, began := 0, time.Now()
		for time.Since(began) < 90*time.Second {
			most = max(most, w.Platform.Busy())
			time.Sleep(7 * time.Millisecond)
		}
		time.Sleep(10*time.Minute - time.Since(began))
		n := w.Platform.invoked() - before
		t.Logf("%d nodes hold something; %d warm-ups in 10 min, at most %d nodes awake at once", holding, n, most)
		if most > 6 {
			t.Errorf("%d of %d nodes were awake at once for warm-ups", most, nodes)
		}
		if n < 10*holding-holding || n > 10*holding+holding {
			t.Errorf("%d warm-ups in 10 min of %d nodes that hold something", n, holding)
		}
	})
}

// Traffic keeps nodes warm; what is empty or cold is let go.
func TestWarmUpsThatAreNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 6, Shape: object.Shape{Data: 2, Parity: 1}, Warm: time.Minute, Seed: 1})
		c := w.Client()
		mustPut(t, c, "k", content(1, 1<<20))
		warmed := func() uint64 { return w.Proxy.Status().Bill.ByCause["warm-up"].Invocations }
		for range 60 { // both data nodes are asked every ten seconds
			mustGet(t, c, "k", content(1, 1<<20))
			time.Sleep(10 * time.Second)
		}
		if n := warmed(); n > 11 { // of the parity node only
			t.Errorf("%d warm-ups in 10 min beside traffic, want those of one node", n)
		}
		before := warmed()
		time.Sleep(10 * time.Minute)
		if n := warmed() - before; n < 27 || n > 33 {
			t.Errorf("%d warm-ups in 10 min without traffic, want 3 nodes a minute", n)
		}
		time.Sleep(2 * time.Hour)
		before = warmed()
		time.Sleep(time.Hour)
		if n := warmed() - before; n > 0 {
			t.Errorf("%d warm-ups of what nobody wanted for two hours", n)
		}
		mustGet(t, c, "k", content(1, 1<<20))
		time.Sleep(5 * time.Minute)
		before = warmed()
		if _, err := c.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		if n := warmed() - before; n > 3 {
			t.Errorf("%d warm-ups of nodes that hold nothing", n)
		}
	})
}

// Both instances of a pair are kept, and it costs no more than two short sessions.
func TestWarmUpsOfPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 6, Shape: object.Shape{Data: 4, Parity: 2}, Warm: time.Minute, Backup: 3 * time.Minute, Seed: 1})
		c := w.Client()
		want := load(t, c, 5, 1<<20)
		time.Sleep(8 * time.Minute)
		before := w.Proxy.Status().Bill.ByCause["warm-up"]
		time.Sleep(30 * time.Minute)
		for n := range 6 {
			if is := w.Platform.Instances(n); len(is) != 2 {
				t.Errorf("node %d has %d instances, want a pair", n, len(is))
			}
		}
		after := w.Proxy.Status().Bill.ByCause["warm-up"]
		sessions := after.Invocations - before.Invocations
		each := time.Duration((after.BilledSeconds - before.BilledSeconds) / float64(sessions) * float64(time.Second))
		t.Logf("%d warm-ups of 12 instances in 30 min, %v billed each", sessions, each)
		if sessions < 12*28 || sessions > 12*32 || each > 150*time.Millisecond {
			t.Errorf("%d warm-ups of 12 instances in 30 min, %v billed each", sessions, each)
		}
		for n := range 6 { // what each alone holds is all there is
			w.Platform.Take(n, n%2)
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing with one instance of each pair", n)
		}
	})
}

// A platform that fails is not asked in a loop.
func TestWarmUpsOnAFailingPlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes = 50
		w := New(t, Config{Nodes: nodes, Shape: object.Shape{Data: 1, Parity: 1}, Warm: time.Minute, Seed: 1})
		c := w.Client()
		want := load(t, c, 4*nodes, 1000)
		time.Sleep(2 * time.Minute)
		w.Platform.Throttle(1 << 30)
		before := w.Platform.invoked()
		time.Sleep(10 * time.Minute)
		if n := w.Platform.invoked() - before; n > 11*nodes {
			t.Errorf("%d invocations in 10 min of %d nodes that cannot be warmed", n, nodes)
		}
		w.Platform.Throttle(0)
		time.Sleep(2 * time.Minute)
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
	})
}
