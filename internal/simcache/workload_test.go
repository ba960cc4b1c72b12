package simcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
)

// workload is clients that write, read and delete a few keys while instances are
// taken away, hidden and refused, and links fail by rules.
type workload struct {
	t       *testing.T
	seed    uint64
	w       *Cache
	h       *history
	script  string
	harsh   int // misfortunes per run
	mu      sync.Mutex
	gets    int
	hits    int
	refused int
}

// rulesOf draws two faults of links.
func rulesOf(rng *rand.Rand) string {
	all := []func() string{
		func() string { return fmt.Sprintf("reset proxy->node/* after %d bytes", 100000+rng.IntN(9000000)) },
		func() string { return fmt.Sprintf("reset node/*->proxy after %d bytes", 100000+rng.IntN(9000000)) },
		func() string { return fmt.Sprintf("truncate node/*->proxy after %d bytes", 100000+rng.IntN(9000000)) },
		func() string {
			return fmt.Sprintf("stall node/*->proxy after %d bytes for 2s", 100000+rng.IntN(9000000))
		},
		func() string {
			return fmt.Sprintf("stall proxy->node/* after %d bytes for 2s", 100000+rng.IntN(9000000))
		},
		func() string { return fmt.Sprintf("flip node/*->proxy byte %d", 100000+rng.IntN(9000000)) },
		func() string { return fmt.Sprintf("reset proxy->client/* after %d bytes", 100000+rng.IntN(20000000)) },
		func() string { return fmt.Sprintf("reset client/*->proxy after %d bytes", 100000+rng.IntN(20000000)) },
		func() string { return fmt.Sprintf("delay node/*->proxy %dms jitter %dms", rng.IntN(5), 1+rng.IntN(20)) },
		func() string { return fmt.Sprintf("refuse node/*->proxy dial %d", 1+rng.IntN(40)) },
	}
	a, b := rng.IntN(len(all)), rng.IntN(len(all))
	return all[a]() + "\n" + all[b]() + "\n"
}

func TestRandomWorkload(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runWorkload(t, seed) })
		})
	}
}

func runWorkload(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x51))
	l := &workload{t: t, seed: seed, h: newHistory(), script: rulesOf(rng), harsh: rng.IntN(6)}
	capacity := int64(64 << 20)
	if seed%4 == 3 {
		capacity = 2 << 20 // evicts
	}
	l.w = New(t, Config{Nodes: 8 + rng.IntN(8), Capacity: capacity, Seed: seed})
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, %d misfortunes, rules:\n%s%s", seed, l.harsh, l.script, l.w.Net.Report())
		}
	}()
	if _, err := l.w.Net.Script(l.script); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 3 {
		c := l.w.Client()
		own := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() {
			for range 25 {
				l.act(c, own)
			}
		})
	}
	all.Go(func() { l.misfortunes(rand.New(rand.NewPCG(seed, 0xbad))) })
	all.Wait()
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	l.settled()
}

// act does one thing and checks its outcome.
func (l *workload) act(c *infinicache.Client, rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	key := fmt.Sprint("k", rng.IntN(5))
	switch op := rng.IntN(20); {
	case op < 6:
		size := 8 + rng.IntN(64<<10)
		if rng.IntN(2) == 0 {
			size = 8 + rng.IntN(5<<20)
		}
		v := l.h.begin(key, size)
		var err error
		if rng.IntN(3) == 0 {
			_, err = c.Put(ctx, key, strings.NewReader(string(v.body())), -1)
		} else {
			_, err = c.PutBytes(ctx, key, v.body())
		}
		if err == nil {
			l.h.acknowledged(v)
			return
		}
		l.mu.Lock()
		l.refused++
		l.mu.Unlock()
	case op == 6:
		v := l.h.begin(key, -1)
		if _, err := c.Delete(ctx, key); err == nil {
			l.h.acknowledged(v)
		}
	case op == 7:
		_, _ = c.Stat(ctx, key)
	case op == 8:
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	case op == 9: // one who gives up
		short, stop := context.WithTimeout(ctx, time.Duration(rng.IntN(30))*time.Millisecond)
		_, _ = c.GetBytes(short, key)
		stop()
	case op < 13:
		off, n := rng.IntN(1<<17)*8, 8+rng.IntN(1<<20)
		began := l.h.now()
		got, err := c.GetBytes(ctx, key, infinicache.Range(int64(off), int64(n)))
		if err == nil && len(got) < 8 {
			return // the value ends before the range, or within its first word
		}
		l.outcome(key, off, n, began, got, err)
	default:
		began := l.h.now()
		got, err := c.GetBytes(ctx, key)
		l.outcome(key, 0, -1, began, got, err)
	}
}

// outcome judges what a read returned.
func (l *workload) outcome(key string, off, n int, began int64, got []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch cause := infinicache.MissCause(err); {
	case err == nil:
		l.gets, l.hits = l.gets+1, l.hits+1
		if err := l.h.judge(key, off, n, began, got); err != nil {
			l.t.Errorf("get %s: %v", key, err)
		}
	case cause == "never-stored" || cause == "deleted":
	case errors.Is(err, infinicache.ErrNotFound):
		l.gets++
		if cause == "" || cause == "unexplained" {
			l.t.Errorf("get %s: a miss without a cause: %v", key, err)
		}
	default:
		l.gets++ // the link broke, say
	}
	for _, s := range l.w.Proxy.Status().Nodes {
		if s.Held > s.Capacity || s.Held < 0 || s.Reserved < 0 || s.Dead < 0 {
			l.t.Errorf("node %d: %d held, %d reserved, %d dead of %d", s.Node, s.Held, s.Reserved, s.Dead, s.Capacity)
		}
	}
}

// misfortunes happen to nodes, one every few seconds at most.
func (l *workload) misfortunes(rng *rand.Rand) {
	nodes := len(l.w.Proxy.Status().Nodes)
	for range l.harsh {
		time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
		switch node := rng.IntN(nodes); rng.IntN(3) {
		case 0:
			l.w.Platform.Reclaim(node)
		case 1:
			show := l.w.Platform.Hide(node)
			time.Sleep(time.Duration(rng.IntN(5000)) * time.Millisecond)
			show()
		default:
			l.w.Platform.Throttle(rng.IntN(5))
		}
	}
}

// settled checks what is left when all is quiet.
func (l *workload) settled() {
	s := l.w.Proxy.Status()
	if s.Pinned != 0 || s.Staged != 0 || s.Unexplained != 0 {
		l.t.Errorf("%d pins, %d staged versions and %d unexplained misses are left", s.Pinned, s.Staged, s.Unexplained)
	}
	for _, n := range s.Nodes {
		if n.Reserved != 0 || n.Queued != 0 || n.InFlight != 0 {
			l.t.Errorf("node %d: %d reserved, %d queued, %d in flight", n.Node, n.Reserved, n.Queued, n.InFlight)
		}
	}
	if l.w.Platform.Busy() != 0 {
		l.t.Errorf("%d nodes are in session", l.w.Platform.Busy())
	}
	if l.hits*10 < l.gets*6 {
		l.t.Errorf("%d hits of %d reads of what was there, want six of ten", l.hits, l.gets)
	}
	if l.refused > 8 {
		l.t.Errorf("%d puts failed", l.refused)
	}
}
