package simcache

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// crashSeeds is how many seeds TestCrashesUnderLoad goes through at least.
const crashSeeds = 28

// TestCrashesUnderLoad kills the proxy again and again while clients write, read
// and delete: nothing that was made invalid comes back, nothing wrong is read,
// what was acknowledged is there, no second instance of a node is started, and
// in the end nodes hold what the catalog names and nothing else. One seed in four
// has nodes backed up to second instances, another one loses instances as well:
// there only what is read is checked.
func TestCrashesUnderLoad(t *testing.T) {
	var all crashes
	t.Run("seeds", func(t *testing.T) {
		for seed := *first; seed < *first+max(crashSeeds, *seeds/4); seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				k := &crashes{
					seed: seed, t: t, h: newHistory(), stored: map[string]stored{},
					backups: seed%4 >= 2, reclaims: seed%4 == 3,
				}
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					k.t = t
					k.run(dir)
				})
				k.t = t
				if err := k.h.check(); err != nil {
					t.Error(err)
				}
				all.add(k)
				if t.Failed() {
					t.Logf("again: go test ./internal/simcache -run %s -first=%d -seeds=1", rootName(t), seed)
				}
			})
		}
	})
	t.Logf("%d kills; %d of %d objects acknowledged once were lost; %d of %d keys written often are there; first answers after %v to %v",
		all.kills, all.lost, all.once, all.there, all.keys, all.soonest, all.latest)
	if all.kills == 0 || all.lost > 0 {
		t.Errorf("%d objects lost in %d kills", all.lost, all.kills)
	}
}

// crashes is the life of a cache whose proxy is killed now and then.
type crashes struct {
	seed uint64
	t    *testing.T
	// backups of each node are made; reclaims take instances away.
	backups, reclaims bool
	w                 *Cache
	h                 *history

	mu     sync.Mutex
	killed bool              // once at least
	stored map[string]stored // what was stored once and acknowledged

	kills, once, lost, keys, there int
	soonest, latest                time.Duration
}

// stored is a value that was acknowledged.
type stored struct {
	value uint32
	size  int
}

const (
	crashKeys    = 6
	crashClients = 4
	crashOps     = 30
)

func (k *crashes) run(dir string) {
	rng := rand.New(rand.NewPCG(k.seed, 0xc4a5))
	cfg := Config{
		Nodes: 8 + rng.IntN(8), Seed: k.seed, JournalDir: filepath.Join(dir, "journal"), Warm: time.Minute,
		Linger: []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 4 * time.Second}[rng.IntN(3)],
	}
	if k.backups {
		cfg.Backup = 3 * time.Second
	}
	k.w = New(k.t, cfg)
	if _, err := k.w.Net.Script(distance); err != nil {
		k.t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range crashClients {
		c, own := k.w.Client(), rand.New(rand.NewPCG(k.seed, uint64(i)))
		all.Go(func() {
			for n := range crashOps {
				rest(own, 600*time.Millisecond)
				k.act(c, own, fmt.Sprintf("once %d.%d", i, n))
			}
		})
	}
	c := k.w.Client()
	if k.reclaims {
		own := rand.New(rand.NewPCG(k.seed, 0xbad))
		all.Go(func() {
			for range 8 {
				rest(own, 4*time.Second)
				k.w.Platform.Take(own.IntN(cfg.Nodes), own.IntN(2))
			}
		})
	}
	for range 1 + rng.IntN(3) {
		rest(rng, 6*time.Second)
		k.kill(rng)
		if rng.IntN(3) == 0 { // in the middle of its start
			rest(rng, 400*time.Millisecond)
			k.kill(rng)
		}
		k.firstAnswer(c)
	}
	all.Wait()
	k.settled(c)
}

// kill ends the proxy and starts the next.
func (k *crashes) kill(rng *rand.Rand) {
	if rng.IntN(3) > 0 {
		k.lastWord(rng)
	}
	k.mu.Lock()
	k.killed = true
	k.mu.Unlock()
	k.kills++
	k.w.Kill()
	if rng.IntN(2) == 0 {
		rest(rng, 3*time.Second)
	}
	k.w.Restart()
}

// lastWord has a front door acknowledge something at the very moment of the kill.
// On its way to a client it would take time, and the disk takes none in a bubble.
func (k *crashes) lastWord(rng *rand.Rand) {
	ctx, key := k.t.Context(), fmt.Sprint("k", rng.IntN(crashKeys))
	if rng.IntN(2) == 0 {
		s := k.h.begin(del, key, 0)
		if found, _, err := k.w.Proxy.Delete(ctx, key, false); err == nil {
			s.found = found
			k.h.finish(s)
		}
		return
	}
	n := small(rng)
	s := k.h.begin(put, key, n)
	_, err := k.w.Proxy.Put(ctx, key, int64(n), bytes.NewReader(body(s.value, n)), object.PutOptions{})
	if err == nil {
		k.h.finish(s)
	}
}

// firstAnswer measures how long it takes until something is read again.
func (k *crashes) firstAnswer(c *infinicache.Client) {
	began := time.Now()
	k.mu.Lock()
	var any string
	for key := range k.stored {
		any = key
		break
	}
	k.mu.Unlock()
	if any == "" {
		return
	}
	if _, err := c.GetBytes(k.t.Context(), any); err != nil && !k.reclaims {
		k.t.Errorf("get %s after a restart: %v", any, err)
	}
	d := time.Since(began)
	if k.soonest == 0 {
		k.soonest = d
	}
	k.soonest, k.latest = min(k.soonest, d), max(k.latest, d)
}

// act does one thing and notes its outcome.
func (k *crashes) act(c *infinicache.Client, rng *rand.Rand, once string) {
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	key := fmt.Sprint("k", rng.IntN(crashKeys))
	switch op := rng.IntN(10); {
	case op < 3:
		k.put(ctx, c, key, rng)
	case op < 5:
		if s, err := k.put(ctx, c, once, rng); err == nil {
			k.mu.Lock()
			k.stored[once] = s
			k.mu.Unlock()
		}
	case op < 6:
		k.delete(ctx, c, key)
	default:
		k.get(ctx, c, key)
	}
}

func (k *crashes) put(ctx context.Context, c *infinicache.Client, key string, rng *rand.Rand) (stored, error) {
	n := mixed(rng)
	s := k.h.begin(put, key, n)
	_, err := c.PutBytes(ctx, key, body(s.value, n))
	if err == nil {
		k.h.finish(s)
	}
	return stored{s.value, n}, err
}

func (k *crashes) delete(ctx context.Context, c *infinicache.Client, key string) {
	s := k.h.begin(del, key, 0)
	if found, err := c.Delete(ctx, key); err == nil {
		s.found = found
		k.h.finish(s)
	}
}

// get reads a key. That it was never stored is what a cache that was restarted
// says of what it forgot, too.
func (k *crashes) get(ctx context.Context, c *infinicache.Client, key string) (hit bool) {
	s := k.h.begin(get, key, 0)
	got, err := c.GetBytes(ctx, key)
	switch cause := infinicache.MissCause(err); {
	case err == nil:
		hit = true
		if s.value, err = k.h.whose(0, -1, got); err != nil {
			k.t.Errorf("get %s: %v", key, err)
		}
	case cause == wire.CauseDeleted.String():
		s.absent = true
	case cause == wire.CauseNeverStored.String():
		k.mu.Lock()
		s.absent = !k.killed
		k.mu.Unlock()
	}
	k.h.finish(s)
	return hit
}

// settled counts what is left when all is quiet.
func (k *crashes) settled(c *infinicache.Client) {
	ctx := k.t.Context()
	for key, s := range k.stored {
		got, err := c.GetBytes(ctx, key)
		if k.reclaims && err != nil {
			continue
		}
		k.once++
		if err != nil {
			k.lost++
			k.t.Logf("%s of %d bytes, acknowledged once, is lost: %v", key, s.size, err)
			continue
		}
		if v, err := k.h.whose(0, -1, got); err != nil || v != s.value {
			k.t.Errorf("get %s: value %d, want %d: %v", key, v, s.value, err)
		}
	}
	for i := range crashKeys {
		k.keys++
		if k.get(ctx, c, fmt.Sprint("k", i)) {
			k.there++
		}
	}
	time.Sleep(4 * time.Minute) // every node was warmed up, and freed what is dead
	synctest.Wait()
	for n := 0; n < k.w.cfg.Nodes && !k.backups; n++ {
		if i := k.w.Platform.Instances(n); len(i) > 1 {
			k.t.Errorf("node %d has %d instances", n, len(i))
		}
	}
	if s := k.w.Proxy.Status(); s.Staged != 0 || s.Unexplained != 0 || s.FalseHoldings != 0 || s.InstancesLost != 0 && !k.reclaims {
		k.t.Errorf("%d staged, %d unexplained, %d false holdings, %d instances lost", s.Staged, s.Unexplained, s.FalseHoldings, s.InstancesLost)
	}
	if !k.backups {
		k.w.nothingButNamed()
	}
}

// nothingButNamed fails the test unless the nodes use as many bytes as all chunks
// of all objects take.
func (w *Cache) nothingButNamed() {
	w.t.Helper()
	var named, used int64
	keys, _, err := w.Proxy.Scan(w.t.Context(), 0, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, key := range keys {
		info, err := w.Proxy.Stat(w.t.Context(), key)
		if err != nil {
			w.t.Fatal(err)
		}
		record := len((&wire.Record{Key: key}).Append(nil))
		cut := placement.Stripes{Size: info.Size, Stripe: info.Stripe}
		for i := range cut.Count() {
			l := erasure.NewLayout(cut.Len(i), info.Shape.Data, info.Shape.Parity)
			for c := range l.Chunks() {
				if l.Len(c) > 0 {
					named += pool.Cost(l.Len(c), record)
				}
			}
		}
	}
	for _, n := range w.Proxy.Status().Nodes {
		used += n.Held
		if n.Dead != 0 || n.Reserved != 0 {
			w.t.Errorf("node %d: %d bytes dead, %d reserved", n.Node, n.Dead, n.Reserved)
		}
	}
	if used != named {
		w.t.Errorf("nodes use %d bytes, the %d objects' chunks take %d", used, len(keys), named)
	}
}

// add sums up what runs came to.
func (k *crashes) add(o *crashes) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kills += o.kills
	k.once += o.once
	k.lost += o.lost
	k.keys += o.keys
	k.there += o.there
	if k.soonest == 0 || o.soonest > 0 && o.soonest < k.soonest {
		k.soonest = o.soonest
	}
	k.latest = max(k.latest, o.latest)
}
