package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/ledger"
)

// TestScenarioProxyKilled kills a proxy under writes and starts it again at once,
// several times. What it acknowledged must be there, with exactly that value, and
// what it deleted must stay away. Without --journal-every the first versions of
// keys may be missing that were stored just before.
func TestScenarioProxyKilled(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags []string
		most  float64 // share of objects that may be missing
	}{{"journal-every", []string{"--journal-every"}, 0}, {"journal", nil, 0.2}} {
		t.Run(tt.name, func(t *testing.T) {
			scenario(t)
			killProxies(t, tt.flags, tt.most)
		})
	}
}

func killProxies(t *testing.T, flags []string, most float64) {
	shared := []string{"--nodes", "12", "--memory", "192MiB"}
	a := startSeparate(t, shared, nil, append([]string{"--shape", "4+2", "--backup-every", "0", "--warm-every", "0"}, flags...))
	l := ledger.New()
	load := ledger.Load{Clients: 4, Keys: 12, Sizes: []int{64 << 10, 1 << 20, 3 << 20}, Reads: 0.2, Deletes: 0.1}
	if most > 0 { // first versions are then only those that follow a deletion
		for k := range load.Clients {
			l.Fill(t, newClient(t, a.proxy), fmt.Sprintf("restart-%d", k), load.Keys, 64<<10)
		}
		await(t, "the journal has them", func() bool { return see(t, a.proxy).Journal.Queued == 0 })
	}
	var readable, stored, deleted, forgotten int
	var first []time.Duration
	for range pick(1, 8) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		began := l.Count()
		go func() {
			defer close(over)
			load.Run(ctx, l, clientsOf(t, a.proxy), "restart")
		}()
		await(t, "writes under way", func() bool { return l.Count() >= began+pick(60, 200) })
		before := see(t, a.platform)
		a.proxy.kill()
		cancel()
		again := time.Now()
		t.Logf("killed at %s", again.UTC().Format("04:05.000"))
		a.reign()
		c := newClient(t, a.proxy)
		<-over
		keys, gone := l.Standing()
		at := 0
		await(t, "a hit", func() bool {
			at = (at + 1) % len(keys)
			_, hit := l.Get(t.Context(), c, keys[at])
			return hit
		})
		first = append(first, time.Since(again))
		missed := l.ReadAll(t, c, keys)
		readable, stored = readable+len(keys)-len(missed), stored+len(keys)
		deleted += len(gone)
		l.ReadAll(t, c, gone)
		for node, n := range instances(see(t, a.platform)) {
			if was := len(before.Nodes[node].Instances); n > max(was, 1) {
				forgotten += n - max(was, 1)
			}
		}
		if float64(len(missed)) > most*float64(len(keys)) {
			t.Errorf("%d of %d objects are not readable, %v", len(missed), len(keys), l.Misses)
			l.Stories(t, missed)
		}
		l.Forget(missed)
	}
	for cause := range l.Misses {
		if cause != "never-stored" {
			t.Errorf("%d misses with cause %s", l.Misses[cause], cause)
		}
	}
	l.Judge(t)
	report(t, "acknowledged objects readable", "%d of %d (%.2f %%)", readable, stored, 100*float64(readable)/float64(stored))
	report(t, "deleted ones that stayed so", "%d", deleted)
	report(t, "start to first hit", "median %v, most %v", millis(quantile(first, 0.5)), millis(quantile(first, 1)))
	report(t, "instances started twice", "%d", forgotten)
}
