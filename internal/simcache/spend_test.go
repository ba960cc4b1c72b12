package simcache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/spend"
	"github.com/infinicache/infinicache/internal/wire"
)

// dear is a platform with a price, which keeps its own books.
type dear struct {
	platform.Driver
	sessions, cold, billed atomic.Int64
}

func (d *dear) Capabilities() platform.Capabilities {
	c := d.Driver.Capabilities()
	c.Memory = 1 << 30
	c.Price = platform.Price{Quantum: time.Millisecond, PerGBSecond: 0.01, PerInvocation: 0.001}
	return c
}

func (d *dear) Invoke(ctx context.Context, node int, payload []byte) (platform.Outcome, error) {
	out, err := d.Driver.Invoke(ctx, node, payload)
	d.sessions.Add(1)
	d.billed.Add(int64(out.Billed))
	if out.Cold {
		d.cold.Add(1)
	}
	return out, err
}

// with makes a cache on a platform with a price.
func with(t *testing.T, cfg Config, change func(*proxy.Config)) (*Cache, *dear) {
	d := &dear{}
	cfg.Proxy = func(c *proxy.Config) {
		d.Driver = c.Pool.Driver
		c.Pool.Driver = d
		if change != nil {
			change(c)
		}
	}
	return New(t, cfg), d
}

func TestBreakerByDollars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// 12 nodes: a wake and half a second cost 6 or 7 thousandths each.
		w, _ := with(t, Config{Nodes: 12, Linger: 500 * time.Millisecond, Seed: 1}, func(c *proxy.Config) {
			c.Pool.Limits = pool.Limits{DollarsPerHour: 0.3}
		})
		c := w.Client()
		want := load(t, c, 3, 4<<20)
		reads, spent := 0, false
		for range 200 {
			time.Sleep(5 * time.Second)
			_, err := c.GetBytes(t.Context(), "k0")
			if spent = err != nil; spent {
				if infinicache.MissCause(err) != "breaker" {
					t.Fatalf("read %d: %v, want a miss for the breaker", reads, err)
				}
				break
			}
			reads++
		}
		if !spent || reads < 2 {
			t.Fatalf("%d reads, spent %v", reads, spent)
		}
		if _, err := c.PutBytes(t.Context(), "new", content(9, 4<<20)); !errors.Is(err, wire.ErrBreaker) {
			t.Errorf("put while the breaker is open: %v, want %v", err, wire.ErrBreaker)
		}
		s := w.Proxy.Status()
		if s.Objects != 3 || s.ObjectsLost != 0 || s.Misses["breaker"] == 0 {
			t.Errorf("%d objects, %d lost, misses %v; nothing may be dropped", s.Objects, s.ObjectsLost, s.Misses)
		}
		before, _ := w.Platform.Invocations()
		for range 100 {
			if _, err := c.GetBytes(t.Context(), "k1"); infinicache.MissCause(err) != "breaker" {
				t.Fatalf("read: %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if after, _ := w.Platform.Invocations(); after-before > 12 {
			t.Errorf("%d invocations while the breaker is open", after-before)
		}
		time.Sleep(65 * time.Minute)
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing after the breaker closed", n)
		}
		mustPut(t, c, "new", content(9, 4<<20))
		w.NothingUnexplained()
	})
}

// Awake nodes go on serving, and are written to.
func TestOpenBreakerLeavesAwakeNodesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := with(t, Config{Nodes: 10, Shape: object.Shape{Data: 4, Parity: 2}, Linger: 10 * time.Second, Seed: 1}, func(c *proxy.Config) {
			c.Pool.Limits = pool.Limits{InvocationsPerSecond: 0.05}
			c.Pool.Lifecycle.WakeBudget = time.Second
		})
		c := w.Client()
		mustPut(t, c, "cold", content(1, 4<<20))
		time.Sleep(30 * time.Second)
		mustPut(t, c, "hot", content(2, 4<<20)) // all tokens are gone, or nearly
		tripped := false
		for i := range 60 {
			mustGet(t, c, "hot", content(2, 4<<20))
			_, err := c.GetBytes(t.Context(), "cold")
			if cause := infinicache.MissCause(err); err != nil && cause != "breaker" {
				t.Errorf("read of cold: %v", err)
			}
			tripped = tripped || w.Proxy.Status().Breaker.Tripped != spend.None
			if tripped && i%10 == 5 {
				mustPut(t, c, fmt.Sprint("put", i), content(uint64(i), 1<<20))
			}
			time.Sleep(300 * time.Millisecond)
		}
		if !tripped {
			t.Error("the breaker did not trip")
		}
		w.NothingUnexplained()
	})
}

// A pool that fails all at once is not hammered: the original made 744 invocations
// in 5 s.
func TestRetriesOfAPoolAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const nodes = 100
		w := New(t, Config{Nodes: nodes, Shape: object.Shape{Data: 1}, Seed: 1})
		clients := []*infinicache.Client{w.Client(), w.Client(), w.Client(), w.Client()}
		load(t, clients[0], 4*nodes, 1000)
		time.Sleep(5 * time.Second)
		before, _ := w.Platform.Invocations()
		w.Platform.Throttle(1 << 30)
		began := time.Now()
		var all sync.WaitGroup
		for k, c := range clients {
			for range 25 {
				all.Go(func() {
					for i := 0; time.Since(began) < 5*time.Second; i++ {
						ctx, cancel := context.WithTimeout(t.Context(), time.Second)
						_, _ = c.GetBytes(ctx, fmt.Sprint("k", (i*31+k*100)%(4*nodes)))
						cancel()
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
		}
		all.Wait()
		after, _ := w.Platform.Invocations()
		t.Logf("%d invocations in 5 s, of %d nodes that fail", after-before, nodes)
		if n := after - before; n < nodes || n > 300 {
			t.Errorf("%d invocations, want %d to 300", n, nodes)
		}
		w.NothingUnexplained()
	})
}

// Each session is booked to what it was for, and the sums are the platform's.
func TestBillByCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := with(t, Config{Nodes: 12, Shape: object.Shape{Data: 4, Parity: 2}, Warm: time.Minute, Backup: 7 * time.Minute, Seed: 2}, nil)
		c := w.Client()
		want := load(t, c, 10, 1<<20)
		missing(t, c, want) // so that they are hot
		time.Sleep(30 * time.Second)
		serve := w.Proxy.Status().Bill.ByCause["serve"]
		time.Sleep(5 * time.Minute)
		w.Platform.Reclaim(3) // found out by warm-ups, and put back
		time.Sleep(20 * time.Minute)
		w.Platform.Notice(5, 10*time.Second)
		w.Platform.Notice(6, 10*time.Second)
		time.Sleep(10 * time.Minute)
		bill := w.Proxy.Status().Bill
		if got := bill.ByCause["serve"]; got != serve && got.Invocations != serve.Invocations {
			t.Errorf("serve is charged %+v though nobody asked for anything, before %+v", got, serve)
		}
		for cause, sum := range bill.ByCause {
			t.Logf("%-8s %5d sessions %8.3f s %9.6f dollars", cause, sum.Invocations, sum.BilledSeconds, sum.Dollars)
			if sum.Invocations == 0 || sum.Dollars == 0 || sum.BilledSeconds == 0 {
				t.Errorf("nothing is booked to %s", cause)
			}
		}
		billed := time.Duration(d.billed.Load()).Seconds()
		dollars := billed*0.01 + float64(d.sessions.Load())*0.001
		if int64(bill.Total.Invocations) != d.sessions.Load() || math.Abs(bill.Total.BilledSeconds-billed) > 1e-6 ||
			math.Abs(bill.Total.Dollars-dollars) > 1e-6 || int64(bill.Total.Cold) != d.cold.Load() {
			t.Errorf("the bill says %+v, the platform %d sessions, %d cold, %v s, %v dollars",
				bill.Total, d.sessions.Load(), d.cold.Load(), billed, dollars)
		}
		if n := missing(t, c, want); n > 0 {
			t.Errorf("%d objects are missing", n)
		}
	})
}

// Upkeep waits while the breaker is open.
func TestUpkeepWaitsForTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := with(t, Config{Nodes: 12, Warm: time.Minute, Backup: 5 * time.Minute, Seed: 3}, func(c *proxy.Config) {
			c.Pool.Limits = pool.Limits{DollarsPerHour: 0.12}
		})
		c := w.Client()
		load(t, c, 3, 4<<20)
		for w.Proxy.Status().Breaker.Tripped != spend.Dollars {
			time.Sleep(3 * time.Second)
			_, _ = c.GetBytes(t.Context(), "k0")
		}
		before, backups := w.Platform.invoked(), w.Proxy.Status().Backups
		time.Sleep(20 * time.Minute)
		s := w.Proxy.Status()
		if n := w.Platform.invoked() - before; n > 12 || s.Backups != backups || s.BackupsFailed > 12 {
			t.Errorf("%d invocations and %d backups while the breaker is open, %d failed", n, s.Backups-backups, s.BackupsFailed)
		}
		if s.Objects != 3 {
			t.Errorf("%d objects are left, want 3", s.Objects)
		}
		w.NothingUnexplained()
	})
}

func (p *Platform) invoked() int {
	n, _ := p.Invocations()
	return n
}
