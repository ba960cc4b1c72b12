package main

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/ledger"
)

// TestScenarioKilledNodes kills the processes of p nodes under reads and writes,
// and of more than p when repair is done.
func TestScenarioKilledNodes(t *testing.T) {
	scenario(t)
	cache := startCache(t, "--nodes", "10", "--memory", "192MiB", "--shape", "4+2", "--cut-links", "0")
	c, l := newClient(t, cache), ledger.New()
	keys := l.Fill(t, c, "kill", pick(20, 60), 1<<20)

	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		ledger.Load{Clients: 3, Keys: 10, Sizes: []int{256 << 10, 2 << 20}, Reads: 0.6, Deletes: 0.05}.Run(ctx, l, clientsOf(t, cache), "load")
	}()
	await(t, "writes under way", func() bool { return l.Count() >= len(keys)+20 })
	began := time.Now()
	killed := killNodes(t, cache, 0, 1)
	until := l.Count() + pick(60, 400)
	await(t, "writes after the kill", func() bool { return l.Count() >= until })
	cancel()
	<-over
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d of %d objects lost with p nodes: %v", len(missed), len(keys), l.Misses)
	}
	// Each read finds what is missing and has it repaired; a node's old instance
	// is given up after two sessions of others.
	await(t, "repair is done", func() bool {
		l.ReadAll(t, c, keys)
		s := see(t, cache)
		return s.Faults.LostInstances >= 2 && s.Faults.RepairedChunks > 0 && s.Catalog.RepairsWaiting == 0
	})
	repaired := see(t, cache).Faults.RepairedChunks
	report(t, "p nodes killed under load", "%d processes; %d chunks repaired within %.1f s, %d of %d objects readable",
		killed, repaired, time.Since(began).Seconds(), len(keys), len(keys))
	if len(l.Misses) > 0 {
		t.Errorf("misses %v with p nodes killed", l.Misses)
	}

	// Two others: what repair put back has to carry.
	killNodes(t, cache, 2, 3)
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d of %d objects lost with p other nodes after repair: %v", len(missed), len(keys), l.Misses)
	}

	killed = killNodes(t, cache, 4, 5, 6, 7)
	missed := l.ReadAll(t, c, keys)
	report(t, "more than p nodes killed", "%d processes; %d of %d objects missed, causes %v", killed, len(missed), len(keys), l.Misses)
	if len(missed) == 0 {
		t.Error("nothing was missed without 4 to 6 of 10 nodes")
	}
	for cause := range l.Misses {
		if cause != "lost" && cause != "unheard" {
			t.Errorf("%d misses with cause %s", l.Misses[cause], cause)
		}
	}
	again := l.Fill(t, c, "kill", len(keys), 1<<20)
	if missed := l.ReadAll(t, c, again); len(missed) > 0 {
		t.Errorf("%d of %d objects stored again are not readable", len(missed), len(again))
	}
	l.Judge(t)
}

// killNodes kills the processes of nodes and returns how many there were, when
// the platform has seen that they are gone.
func killNodes(t *testing.T, cache *daemon, nodes ...int) int {
	t.Helper()
	s := see(t, cache)
	var killed []int
	for _, node := range nodes {
		killed = append(killed, signalNode(t, s, node, syscall.SIGKILL)...)
	}
	awaitGone(t, cache, killed)
	return len(killed)
}

// awaitGone waits until a platform has seen that processes are gone.
func awaitGone(t *testing.T, platform *daemon, pids []int) {
	t.Helper()
	await(t, "the killed processes are gone", func() bool {
		for _, n := range see(t, platform).Nodes {
			for _, i := range n.Instances {
				if slices.Contains(pids, i.PID) {
					return false
				}
			}
		}
		return true
	})
}

// busiest is the node that holds most.
func busiest(s admin.Status) int {
	most := 0
	for i, n := range s.Nodes {
		if n.HeldBytes > s.Nodes[most].HeldBytes {
			most = i
		}
	}
	return most
}
