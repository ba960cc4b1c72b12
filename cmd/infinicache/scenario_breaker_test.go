package main

import (
	"testing"

	"github.com/infinicache/infinicache/internal/ledger"
)

// TestScenarioBreaker wakes nodes faster than the limit on invocations allows.
func TestScenarioBreaker(t *testing.T) {
	scenario(t)
	cache := startCache(t, "--nodes", "6", "--memory", "192MiB", "--shape", "4+2", "--cut-links", "0",
		"--linger", "3s", "--max-invocations", "0.2")
	c, l := newClient(t, cache), ledger.New()
	keys := l.Fill(t, c, "breaker", 4, 1<<20) // wakes all nodes, which is the burst
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d of %d objects missed while all nodes were awake: %v", len(missed), len(keys), l.Misses)
	}
	awaitStates(t, cache, "asleep")

	missed := l.ReadAll(t, c, keys)
	s := see(t, cache)
	report(t, "one session in five seconds", "%d of %d reads missed, causes %v; %d sessions forbidden, %d begun",
		len(missed), len(keys), l.Misses, s.Breaker.Refused["invocations"], s.Bill.Sessions)
	if len(missed) == 0 || l.Misses["breaker"] != len(missed) {
		t.Errorf("%d of %d reads missed, by cause %v", len(missed), len(keys), l.Misses)
	}
	if s.Breaker.Open != "invocations" || s.Breaker.Trips["invocations"] == 0 {
		t.Errorf("the breaker says %+v", s.Breaker)
	}
	// A client tells how its read went and does not wait for an answer.
	await(t, "all of the misses are counted", func() bool {
		return int(see(t, cache).Traffic.Misses["breaker"]) == len(missed)
	})
	// With five seconds for each node they can all wake again.
	await(t, "reads hit again", func() bool {
		_, hit := l.Get(t.Context(), c, keys[0])
		return hit
	})
	l.Judge(t)
}
