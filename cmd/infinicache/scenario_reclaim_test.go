package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestScenarioLoadUnderReclaims has clients work in bursts for minutes, while the
// platform takes instances that sleep between them.
func TestScenarioLoadUnderReclaims(t *testing.T) {
	scenario(t)
	longOnly(t)
	const minutes, nodes = 2, 20
	cache := startCache(t, "--nodes", strconv.Itoa(nodes), "--memory", "192MiB", "--shape", "4+2",
		"--linger", "150ms", "--reclaim-rate", "180", "--cut-links", "0.2", "--reuse", "random")
	l := newLedger()
	ctx, cancel := context.WithTimeout(t.Context(), minutes*time.Minute)
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		load{
			clients: 6, keys: 30, sizes: []int{1 << 10, 64 << 10, 1 << 20, 6 << 20}, reads: 0.7, deletes: 0.02,
			burst: time.Second, rest: 1500 * time.Millisecond,
		}.run(ctx, t, l, cache, "mixed")
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
	l.judge(t)
	s := see(t, cache)
	lost := 0
	for _, n := range l.misses {
		lost += n
	}
	report(t, "mixed load in bursts", "%d min: %d reads, %d hits, %d writes, %d failed, %d wrong",
		minutes, l.reads, l.hits, l.writes, l.failed, len(l.wrong))
	report(t, "misses of what was stored", "%d (%.2f %% of reads), causes %v", lost, 100*float64(lost)/float64(max(l.reads, 1)), l.misses)
	report(t, "instances lost", "%d; %d chunks repaired, %d moved on %d notices",
		s.Faults.LostInstances, s.Faults.RepairedChunks, s.Faults.MovedChunks, s.Faults.Notices)
	report(t, "most memory of up", "%s", shortSize(most))
	report(t, "bill", "%d sessions, %s", s.Bill.Sessions, shortTime(s.Bill.Seconds))
	if s.Faults.Notices+s.Faults.LostInstances == 0 {
		t.Error("no instance was reclaimed meanwhile")
	}
	if l.failed > 0 {
		t.Errorf("%d calls failed, the first with %v", l.failed, l.firstFailure)
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
