package pricing

import (
	"math"
	"testing"
	"time"
)

// asPaper is the pool of the paper's evaluation: 400 functions of 1,536 MB and
// objects over 10+2 of them. A chunk of its median object, 5 MB, takes longer than
// one quantum of 100 ms. The time of a backup is not published; 1.8 s is what the
// bills with and without it imply.
func asPaper(requests float64) Workload {
	return Workload{
		Nodes: 400, Memory: 1536 * mb, Requests: requests, Chunks: 12, ChunkTime: 120 * time.Millisecond,
		WarmEvery: time.Minute, WarmTime: 5 * time.Millisecond,
		BackupEvery: 5 * time.Minute, BackupTime: 1800 * time.Millisecond,
	}
}

// TestHourlyGivesThePapersBills compares with the 50 hours of a registry's trace
// that the paper replays: its table 1 has the requests, its evaluation the bills.
func TestHourlyGivesThePapersBills(t *testing.T) {
	p := plan(t, "lambda-100ms", 1536*mb)
	const hours, large, small = 50, 750, 3654 - 750 // GETs an hour; those below 10 MB take one quantum
	bare := asPaper(large)
	bare.BackupEvery = 0
	few := Workload{Memory: 1536 * mb, Requests: small, Chunks: 12, ChunkTime: 20 * time.Millisecond}
	rented, _ := CacheOf("cache.r5.24xlarge")

	for _, c := range []struct {
		name       string
		got, paper float64
	}{
		{"objects above 10 MB, no backup", hours * p.Hourly(bare).Total(), 5.41},
		{"objects above 10 MB", hours * p.Hourly(asPaper(large)).Total(), 16.51},
		{"all objects", hours * (p.Hourly(asPaper(large)).Total() + p.Hourly(few).Total()), 20.52},
		{"ElastiCache", hours * rented.PerHour, 518.40},
	} {
		t.Logf("%-32s $%7.2f, the paper says $%7.2f (%+.1f %%)", c.name, c.got, c.paper, 100*(c.got/c.paper-1))
		if !near(c.got, c.paper, 0.05) {
			t.Errorf("%s: $%.2f in %d hours, the paper says $%.2f", c.name, c.got, hours, c.paper)
		}
	}
}

func TestHourlyByCause(t *testing.T) {
	p := Plan{Quantum: 100 * time.Millisecond, PerGBSecond: 1, PerInvocation: 0.01}
	w := Workload{
		Nodes: 10, Memory: 2 * gb, Requests: 3, Chunks: 4, ChunkTime: 101 * time.Millisecond,
		WarmEvery: 30 * time.Minute, WarmTime: time.Millisecond,
		BackupEvery: time.Hour, BackupTime: time.Second,
	}
	h := p.Hourly(w)
	if !near(h.Serving, 12*(0.01+0.4), 1e-9) || !near(h.WarmUp, 20*(0.01+0.2), 1e-9) || !near(h.Backup, 10*(0.01+2), 1e-9) {
		t.Errorf("%+v an hour", h)
	}
	if !near(h.Total(), h.Serving+h.WarmUp+h.Backup, 1e-12) {
		t.Errorf("%v in all of %+v", h.Total(), h)
	}
	w.WarmEvery, w.BackupEvery = 0, 0
	if h := p.Hourly(w); h.WarmUp != 0 || h.Backup != 0 {
		t.Errorf("%+v without warm-up and backup", h)
	}
}

func TestBreakEvenRequests(t *testing.T) {
	p := plan(t, "lambda-100ms", 1536*mb)
	w := asPaper(0)
	w.ChunkTime = 20 * time.Millisecond // one quantum, as the paper reckons here
	got := p.BreakEvenRequests(w, 10.368)
	t.Logf("%.0f requests an hour cost what the rented node does, the paper says 312,000", got)
	if !near(got, 312_000, 0.03) {
		t.Errorf("break-even at %.0f requests an hour, the paper says 312,000", got)
	}
	w.Requests = got
	if h := p.Hourly(w); !near(h.Total(), 10.368, 1e-9) {
		t.Errorf("there the pool costs $%v an hour", h.Total())
	}
	if got := p.BreakEvenRequests(w, 0.01); got != 0 {
		t.Errorf("%v requests an hour, want none: the pool alone is dearer", got)
	}
	if got := (Plan{}).BreakEvenRequests(w, 1); !math.IsInf(got, 1) {
		t.Errorf("%v requests an hour, want no end: they cost nothing", got)
	}
}
