package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/ledger"
)

const tenMiB = 10 << 20

// TestScenarioStoppedNode stops the process of a node that is awake. Reads go
// around it, and when it goes on it does no harm.
func TestScenarioStoppedNode(t *testing.T) {
	scenario(t)
	cache := startCache(t, "--nodes", "14", "--memory", "192MiB", "--shape", "10+2", "--linger", "30s", "--cut-links", "0")
	c, l := newClient(t, cache), ledger.New()
	keys := l.Fill(t, c, "stop", 10, tenMiB)
	gets := pick(20, 100)
	times(t, l, c, keys, gets) // the slowest recent chunks are then known
	before := times(t, l, c, keys, gets)

	s := see(t, cache)
	node := busiest(s)
	for _, i := range s.Nodes[node].Instances {
		if i.State != "running" {
			t.Fatalf("node %d is %s, which cannot be stopped while awake", node, i.State)
		}
	}
	signalNode(t, s, node, syscall.SIGSTOP)
	stopped := times(t, l, c, keys, gets)
	after := times(t, l, c, keys, gets)
	signalNode(t, s, node, syscall.SIGCONT)
	times(t, l, c, keys, gets)
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d objects are not readable", len(missed))
	}
	l.Fill(t, c, "stop", 3, tenMiB)
	l.ReadAll(t, c, keys)
	l.Judge(t)
	for _, x := range []struct {
		name  string
		times []time.Duration
	}{
		{"before the stop", before}, {"the first after it", stopped}, {"the next", after},
	} {
		report(t, fmt.Sprintf("%d GETs of 10 MiB %s", gets, x.name), "p50 %v, p99 %v, most %v",
			millis(quantile(x.times, 0.5)), millis(quantile(x.times, 0.99)), millis(quantile(x.times, 1)))
	}
	report(t, "p99 after over before, aim 1.3", "%.2f", float64(quantile(stopped, 0.99))/float64(quantile(before, 0.99)))
}

// times reads keys in turn, all of which must be there, and says how long each
// took.
func times(t *testing.T, l *ledger.Ledger, c *infinicache.Client, keys []string, n int) []time.Duration {
	t.Helper()
	all := make([]time.Duration, n)
	for k := range all {
		hit := false
		if all[k], hit = l.Get(t.Context(), c, keys[k%len(keys)]); !hit {
			t.Fatalf("%s is not readable: misses %v, failure %v", keys[k%len(keys)], l.Misses, l.FirstFailure)
		}
	}
	return all
}

// TestScenarioWake compares reads that find all nodes asleep with reads that find
// them awake.
func TestScenarioWake(t *testing.T) {
	scenario(t)
	cache := startCache(t, "--nodes", "12", "--memory", "192MiB", "--shape", "10+2", "--linger", "200ms", "--cut-links", "0")
	c, l := newClient(t, cache), ledger.New()
	keys := l.Fill(t, c, "wake", 4, tenMiB)
	var asleep, awake []time.Duration
	for k := range pick(4, 60) {
		awaitStates(t, cache, "asleep")
		key := keys[k%len(keys) : k%len(keys)+1]
		asleep = append(asleep, times(t, l, c, key, 1)...)
		awake = append(awake, times(t, l, c, key, 2)[1])
	}
	l.Judge(t)
	for _, x := range []struct {
		name  string
		times []time.Duration
	}{{"all nodes asleep", asleep}, {"all nodes awake", awake}} {
		report(t, "GET of 10 MiB, "+x.name, "p50 %v, p99 %v", millis(quantile(x.times, 0.5)), millis(quantile(x.times, 0.99)))
	}
	report(t, "difference", "p50 %v, p99 %v", millis(quantile(asleep, 0.5)-quantile(awake, 0.5)), millis(quantile(asleep, 0.99)-quantile(awake, 0.99)))
}
