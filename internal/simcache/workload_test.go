package simcache

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/spend"
)

var (
	seeds = flag.Uint64("seeds", uint64(2*len(scenarios)), "how many seeds TestRandomWorkload goes through; TestSagas, one in fifty")
	first = flag.Uint64("first", 0, "the first of them")
)

// TestRandomWorkload gives each seed a scenario and checks what came of it. One
// seed draws everything but the order in which goroutines run.
func TestRandomWorkload(t *testing.T) {
	p := newProgress()
	t.Run("seeds", func(t *testing.T) {
		for seed := *first; seed < *first+*seeds; seed++ {
			s := &scenarios[seed%uint64(len(scenarios))]
			t.Run(fmt.Sprintf("%d %s", seed, s.name), func(t *testing.T) {
				t.Parallel()
				runSeed(t, s, seed, p)
			})
		}
	})
	p.report(t)
}

// TestSagas are the scenarios of many nodes and long lives.
func TestSagas(t *testing.T) {
	p := newProgress()
	for seed := *first; seed < *first+1+*seeds/50; seed++ {
		for i := range sagas {
			t.Run(fmt.Sprintf("%d %s", seed, sagas[i].name), func(t *testing.T) {
				t.Parallel()
				runSeed(t, &sagas[i], seed, p)
			})
		}
	}
}

// runSeed plays a scenario and says, if it fails, how to play it again.
func runSeed(t *testing.T, s *scenario, seed uint64, p *progress) {
	l := &workload{t: t, s: s, seed: seed, h: newHistory(), causes: map[string]int{}}
	began := time.Now()
	defer func() { // a bubble that fails ends its test
		l.t = t
		p.add(l)
		if !t.Failed() {
			t.Logf("%s, %v", l.summary(), time.Since(began).Round(time.Millisecond))
			return
		}
		again := fmt.Sprintf("go test ./internal/simcache -run %s -first=%d -seeds=1", rootName(t), seed)
		t.Logf("again: %s\n%s\n%s", again, l.summary(), l.rules)
		fmt.Fprintf(os.Stderr, "FAIL %s\n     %s\n", t.Name(), again)
	}()
	synctest.Test(t, func(t *testing.T) {
		l.t = t
		l.run()
	})
	if err := l.h.check(); err != nil {
		t.Error(err)
	}
}

// workload is one run of a scenario.
type workload struct {
	t     *testing.T
	s     *scenario
	seed  uint64
	w     *Cache
	h     *history
	rules string // and how often they fired

	mu     sync.Mutex
	gets   int // of what may be there
	hits   int
	puts   int
	failed int            // puts
	causes map[string]int // of misses, or of gets that failed
	faults map[string]int // by kind, and deeds
}

func (l *workload) run() {
	s, rng := l.s, rand.New(rand.NewPCG(l.seed, 0x51))
	l.w = New(l.t, Config{
		Nodes: cmp.Or(s.nodes, 8+rng.IntN(8)), Capacity: s.capacity, Shape: s.shape,
		Linger: s.linger, Warm: s.warm, Backup: s.backup, Seed: l.seed, Proxy: s.proxy,
		Pods: s.pods, TLS: s.tls, Encrypted: s.encrypted, Liars: s.liars,
	})
	defer func() { l.rules = l.w.Net.Report() }()
	faults, err := l.w.Net.Script(s.draw(rng))
	if err != nil {
		l.t.Fatal(err)
	}
	for i, c := 0, l.w.Client(); i < s.keyCount(); i++ {
		l.put(l.t.Context(), c, fmt.Sprint("k", i), rng)
	}
	var all sync.WaitGroup
	for i := range cmp.Or(s.clients, 3) {
		c, own := l.w.Client(), rand.New(rand.NewPCG(l.seed, uint64(i)))
		all.Go(func() {
			ops := cmp.Or(s.ops, 40)
			for range ops {
				if own.IntN(4) == 0 { // in bursts
					rest(own, 8*s.lifetime()/time.Duration(ops))
				}
				l.act(c, own)
			}
		})
	}
	all.Go(func() { l.suffer(rand.New(rand.NewPCG(l.seed, 0xbad))) })
	all.Wait()
	l.faults = map[string]int{}
	for _, f := range faults[1:] { // without the distance
		l.faults[string(f.Rule().Op)] += f.Fired()
		f.Remove()
	}
	l.w.Platform.Throttle(0)
	time.Sleep(2*time.Minute + s.settle)
	synctest.Wait()
	for m, n := range l.w.Platform.Happened() {
		l.faults[string(m)] += n
	}
	st := l.w.Proxy.Status()
	l.faults[backedUp] += int(st.Backups)
	l.faults[moved] += int(st.ChunksMoved)
	l.faults[forbidden] += int(st.Breaker.Refused[spend.Invocations])
	l.settled()
}

// suffer lets the scenario's harm strike.
func (l *workload) suffer(rng *rand.Rand) {
	if len(l.s.harm) == 0 {
		return
	}
	for range l.s.strikes {
		rest(rng, 2*l.s.lifetime()/time.Duration(l.s.strikes))
		l.s.harm[rng.IntN(len(l.s.harm))](l.w, rng)
	}
}

// act does one thing and notes its outcome.
func (l *workload) act(c *infinicache.Client, rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	key := fmt.Sprint("k", rng.IntN(l.s.keyCount()))
	switch op := rng.IntN(20); {
	case op < 6:
		l.put(ctx, c, key, rng)
	case op == 6:
		s := l.h.begin(del, key, 0)
		if found, err := c.Delete(ctx, key); err == nil {
			s.found = found
			l.h.finish(s)
		}
	case op == 7:
		_, _ = c.Stat(ctx, key)
	case op == 8:
		rest(rng, 3*time.Second)
	case op == 9: // one who gives up
		short, stop := context.WithTimeout(ctx, time.Duration(rng.IntN(30))*time.Millisecond)
		_, _ = c.GetBytes(short, key)
		stop()
	case op < 13:
		l.get(ctx, c, key, rng.IntN(1<<17)*8, 8+rng.IntN(1<<20))
	default:
		l.get(ctx, c, key, 0, -1)
	}
}

func (l *workload) put(ctx context.Context, c *infinicache.Client, key string, rng *rand.Rand) {
	size := mixed
	if l.s.size != nil {
		size = l.s.size
	}
	n := size(rng)
	s := l.h.begin(put, key, n)
	value := body(s.value, n)
	var err error
	if rng.IntN(3) == 0 {
		_, err = c.Put(ctx, key, bytes.NewReader(value), -1)
	} else {
		_, err = c.PutBytes(ctx, key, value)
	}
	if err == nil {
		l.h.finish(s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.puts++
	if err != nil {
		l.failed++
	}
}

// get reads n bytes from off on, or all for -1.
func (l *workload) get(ctx context.Context, c *infinicache.Client, key string, off, n int) {
	var options []infinicache.GetOption
	if n >= 0 {
		options = append(options, infinicache.Range(int64(off), int64(n)))
	}
	s := l.h.begin(get, key, 0)
	got, err := c.GetBytes(ctx, key, options...)
	switch {
	case err == nil && n >= 0 && len(got) < 8:
		return // the value ends before the range, or within its first word
	case err == nil:
		s.value, err = l.h.whose(off, n, got)
		if err != nil {
			l.t.Errorf("get %s: %v", key, err)
			return
		}
	case claimsAbsence(err):
		s.absent = true
	}
	l.h.finish(s)
	l.count(key, s, err)
}

// count books a get, which every miss must explain.
func (l *workload) count(key string, s *step, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !s.absent {
		l.gets++
	}
	switch cause := infinicache.MissCause(err); {
	case err == nil:
		l.hits++
	case cause == "unexplained" || cause == "" && errors.Is(err, infinicache.ErrNotFound):
		l.t.Errorf("get %s: a miss without a cause: %v", key, err)
	default:
		l.causes[cmp.Or(cause, "failed")]++
	}
	for _, n := range l.w.Proxy.Status().Nodes {
		if n.Held+n.Reserved > n.Capacity || n.Held < 0 || n.Reserved < 0 || n.Dead < 0 {
			l.t.Errorf("node %d: %d held, %d reserved, %d dead of %d", n.Node, n.Held, n.Reserved, n.Dead, n.Capacity)
		}
	}
}

// settled checks what is left when all is quiet.
func (l *workload) settled() {
	s := l.w.Proxy.Status()
	if s.Pinned != 0 || s.Staged != 0 || s.Unexplained != 0 {
		l.t.Errorf("%d pins, %d staged versions and %d unexplained misses are left", s.Pinned, s.Staged, s.Unexplained)
	}
	for n, why := range l.restless() {
		l.t.Errorf("node %d does not come to rest: %s", n, why)
	}
	if float64(l.hits) < l.s.hits*float64(l.gets) {
		l.t.Errorf("%d hits of %d gets of what may be there, want %v of them", l.hits, l.gets, l.s.hits)
	}
	if l.failed*100 > l.s.failed*l.puts {
		l.t.Errorf("%d of %d puts failed, want %d in a hundred at most", l.failed, l.puts, l.s.failed)
	}
}

// restless are the nodes that were not once at rest in half a minute, and what
// they had to do. Warm-ups wake them now and then.
func (l *workload) restless() map[uint32]string {
	left := map[uint32]string{}
	for _, n := range l.w.Proxy.Status().Nodes {
		left[n.Node] = "?"
	}
	for end := time.Now().Add(30 * time.Second); len(left) > 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		busy := l.w.Platform.InSession()
		for _, n := range l.w.Proxy.Status().Nodes {
			if _, ok := left[n.Node]; !ok {
				continue
			}
			session := slices.Contains(busy, int(n.Node))
			if n.Reserved == 0 && n.Queued == 0 && n.InFlight == 0 && !session {
				delete(left, n.Node)
				continue
			}
			left[n.Node] = fmt.Sprintf("%d reserved, %d queued, %d in flight, in session: %v", n.Reserved, n.Queued, n.InFlight, session)
		}
	}
	return left
}

func (l *workload) summary() string {
	return fmt.Sprintf("%d hits of %d gets, others %v; %d of %d puts failed; %v", l.hits, l.gets, l.causes, l.failed, l.puts, l.faults)
}
