package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/ledger"
)

// TestScenarioNotice has the platform take nodes with notice, one that is in
// session and one that sleeps. What they hold must have moved before their end,
// and objects must be readable without reconstruction afterwards.
func TestScenarioNotice(t *testing.T) {
	for _, tt := range []struct {
		notice  time.Duration
		memory  string
		objects int // of 4 MiB, in 16 nodes
		long    bool
	}{
		{10 * time.Second, "192MiB", 16, false},
		{500 * time.Millisecond, "512MiB", 500, true},
		{10 * time.Second, "512MiB", 500, true},
		{30 * time.Second, "512MiB", 500, true},
	} {
		t.Run(fmt.Sprintf("%v, %d objects", tt.notice, tt.objects), func(t *testing.T) {
			scenario(t)
			if tt.long {
				longOnly(t)
			}
			takeWithNotice(t, tt.notice, tt.memory, tt.objects)
		})
	}
}

func takeWithNotice(t *testing.T, notice time.Duration, memory string, objects int) {
	cache := startCache(t, "--nodes", "16", "--memory", memory, "--shape", "4+2", "--cut-links", "0",
		"--linger", "8s", "--notice", notice.String())
	c, l := newClient(t, cache), ledger.New()
	keys := l.Fill(t, c, "notice", objects, 4<<20)
	l.ReadAll(t, c, keys)
	// What half a second moves depends on the machine; a few chunks must do.
	enough := objects < 100 || notice > time.Second
	door := admin.NewClient(cache.at["admin"])
	defer door.Close()

	for _, tt := range []struct {
		name string
		node int
	}{{"in session", 3}, {"asleep", 11}} {
		if tt.name == "asleep" {
			awaitStates(t, cache, "asleep")
		} else {
			l.ReadAll(t, c, keys) // wakes all that hold something
		}
		before := see(t, cache)
		taken := before.Nodes[tt.node]
		if tt.name == "in session" && taken.State != "awake" {
			t.Fatalf("node %d is %s", tt.node, taken.State)
		}
		began := time.Now()
		if _, err := door.Reclaim(t.Context(), []int{tt.node}, false); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		after := see(t, cache)
		moved := after.Faults.MovedChunks - before.Faults.MovedChunks
		missed := l.ReadAll(t, c, keys)
		end := see(t, cache)
		degraded := end.Faults.FailedChunks - before.Faults.FailedChunks + end.Faults.RepairedChunks - before.Faults.RepairedChunks
		report(t, "node "+tt.name, "%d chunks of 1 MiB moved of %s held, gone after %v; %d chunks failed or were repaired then, %d of %d objects missed",
			moved, shortSize(taken.HeldBytes-taken.DeadBytes), millis(took), degraded, len(missed), len(keys))
		if after.Faults.Notices == before.Faults.Notices {
			t.Errorf("%s: no notice was heard", tt.name)
		}
		if moved == 0 || enough && degraded > 0 {
			t.Errorf("%s: %d chunks moved, %d failed or were repaired", tt.name, moved, degraded)
		}
		if len(missed) > 0 {
			t.Errorf("%s: %d of %d objects missed: %v", tt.name, len(missed), len(keys), l.Misses)
		}
	}
	l.Judge(t)
}
