package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/ledger"
)

// TestScenarioBackup has every node backed up, then a hundredth of the objects
// changed and backed up, and then kills one of each node's two instances.
func TestScenarioBackup(t *testing.T) {
	scenario(t)
	const nodes = 8
	every := pick(2*time.Second, 5*time.Second)
	a := startSeparate(t, []string{"--nodes", "8", "--memory", "192MiB"}, nil,
		[]string{"--shape", "4+2", "--linger", "200ms", "--backup-every", every.String(), "--warm-every", "0"})
	c, l := newClient(t, a.proxy), ledger.New()
	keys := l.Fill(t, c, "backup", 100, 1<<20)

	// settled waits until nothing was copied for longer than the period.
	settled := func() (chunks, bytes uint64) {
		t.Helper()
		last, since := uint64(0), time.Now()
		await(t, "backups are complete", func() bool {
			b := see(t, a.proxy).Backups
			if b.Done != last {
				last, since = b.Done, time.Now()
			}
			return last > 0 && time.Since(since) > every+every/2
		})
		b := see(t, a.proxy).Backups
		return b.Chunks, b.Bytes
	}
	chunks, bytes := settled()
	report(t, "first backup of all nodes", "%d chunks, %s", chunks, shortSize(int64(bytes)))
	for node, n := range instances(see(t, a.platform)) {
		if n < 2 {
			t.Errorf("node %d has %d instances after its backup", node, n)
		}
	}
	l.Fill(t, c, "backup", 1, 1<<20) // the same key: a hundredth of the objects
	chunks2, bytes2 := settled()
	report(t, "backup after 1 % changed", "%d chunks, %s (%.2f %% of the first)",
		chunks2-chunks, shortSize(int64(bytes2-bytes)), 100*float64(bytes2-bytes)/float64(bytes))
	if bytes2 == bytes || (bytes2-bytes)*20 > bytes {
		t.Errorf("the second backup moved %d bytes, the first %d", bytes2-bytes, bytes)
	}

	s := see(t, a.platform)
	t.Logf("instances of each node: %v", instances(s))
	var killed []int
	for _, n := range s.Nodes {
		if len(n.Instances) == 2 {
			if err := syscall.Kill(n.Instances[n.Node%2].PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			killed = append(killed, n.Instances[n.Node%2].PID)
		}
	}
	awaitGone(t, a.platform, killed)
	// Where the platform starts the killed process again, the other instance is
	// unheard until it was sought.
	began := time.Now()
	missed := l.ReadAll(t, c, keys)
	report(t, "one instance of each node killed", "%d processes of %d nodes, %d of %d objects readable at once, misses %v",
		len(killed), nodes, len(keys)-len(missed), len(keys), l.Misses)
	for cause := range l.Misses {
		if cause != "unheard" {
			t.Errorf("%d misses with cause %s", l.Misses[cause], cause)
		}
	}
	await(t, "all objects are readable", func() bool {
		missed = l.ReadAll(t, c, missed)
		return len(missed) == 0
	})
	report(t, "all of them readable", "within %.1f s", time.Since(began).Seconds())
	if failed := see(t, a.proxy).Backups.Failed; failed > 0 {
		report(t, "backups that did not complete", "%d", failed)
	}
	l.Judge(t)
}
