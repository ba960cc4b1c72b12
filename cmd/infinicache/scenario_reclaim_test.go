package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/ledger"
)

// TestScenarioLoadUnderReclaims has clients work in bursts for minutes, while the
// platform takes instances that sleep between them.
func TestScenarioLoadUnderReclaims(t *testing.T) {
	scenario(t)
	longOnly(t)
	const minutes, nodes = 2, 20
	cache := startCache(t, "--nodes", strconv.Itoa(nodes), "--memory", "192MiB", "--shape", "4+2",
		"--linger", "150ms", "--reclaim-rate", "180", "--cut-links", "0.2", "--reuse", "random")
	l := ledger.New()
	ctx, cancel := context.WithTimeout(t.Context(), minutes*time.Minute)
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		ledger.Load{
			Clients: 6, Keys: 30, Sizes: []int{1 << 10, 64 << 10, 1 << 20, 6 << 20}, Reads: 0.7, Deletes: 0.02,
			Burst: time.Second, Rest: 1500 * time.Millisecond,
		}.Run(ctx, l, clientsOf(t, cache), "mixed")
	}()
	var most int64
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for working := true; working; {
		select {
		case <-tick.C:
			most = max(most, residentOf(cache.cmd.Process.Pid))
		case <-over:
			working = false
		}
	}
	l.Judge(t)
	s := see(t, cache)
	lost := 0
	for _, n := range l.Misses {
		lost += n
	}
	report(t, "mixed load in bursts", "%d min: %d reads, %d hits, %d writes, %d failed, %d wrong",
		minutes, l.Reads, l.Hits, l.Writes, l.Failed, len(l.Wrong))
	report(t, "misses of what was stored", "%d (%.2f %% of reads), causes %v", lost, 100*float64(lost)/float64(max(l.Reads, 1)), l.Misses)
	report(t, "instances lost", "%d; %d chunks repaired, %d moved on %d notices",
		s.Faults.LostInstances, s.Faults.RepairedChunks, s.Faults.MovedChunks, s.Faults.Notices)
	report(t, "most memory of up", "%s", shortSize(most))
	report(t, "bill", "%d sessions, %s", s.Bill.Sessions, shortTime(s.Bill.Seconds))
	if s.Faults.Notices+s.Faults.LostInstances == 0 {
		t.Error("no instance was reclaimed meanwhile")
	}
	if l.Failed > 0 {
		t.Errorf("%d calls failed, the first with %v", l.Failed, l.FirstFailure)
	}
	if most > 256<<20 {
		t.Errorf("up used %s", shortSize(most))
	}
}

// residentOf is the memory of a process, in bytes; 0 where the system does not
// tell.
func residentOf(pid int) int64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
