package simcache

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/simnet"
)

// progress is what the seeds of a run came to so far.
type progress struct {
	mu     sync.Mutex
	began  time.Time
	said   time.Time
	done   int
	bad    int
	faults map[string]int
	rows   map[string]*row
}

// row is what the seeds of one scenario came to.
type row struct {
	seeds, gets, hits, puts, failed int
	worst                           float64 // least share of hits
	causes                          map[string]int
}

func newProgress() *progress {
	now := time.Now()
	return &progress{began: now, said: now, faults: map[string]int{}, rows: map[string]*row{}}
}

func (p *progress) add(l *workload) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rows[l.s.name]
	if r == nil {
		r = &row{worst: 1, causes: map[string]int{}}
		p.rows[l.s.name] = r
	}
	r.seeds, r.gets, r.hits, r.puts, r.failed = r.seeds+1, r.gets+l.gets, r.hits+l.hits, r.puts+l.puts, r.failed+l.failed
	if l.gets > 0 {
		r.worst = min(r.worst, float64(l.hits)/float64(l.gets))
	}
	for cause, n := range l.causes {
		r.causes[cause] += n
	}
	for fault, n := range l.faults {
		p.faults[fault] += n
	}
	p.done++
	if l.t.Failed() {
		p.bad++
	}
	if now := time.Now(); now.Sub(p.said) >= sayEvery {
		p.said = now
		fmt.Fprintf(os.Stderr, "%d seeds, %d failed, %v\n", p.done, p.bad, now.Sub(p.began).Round(time.Second))
	}
}

// sayEvery is how often a long run tells how far it is.
const sayEvery = 10 * time.Second

// Deeds of a proxy are counted beside the faults.
const (
	backedUp  = "backup complete"
	moved     = "chunk moved"
	forbidden = "session forbidden"
)

// exercised are the kinds of faults, and the deeds, that a whole run must have
// seen.
func exercised() (kinds []string) {
	for _, op := range []simnet.Op{
		simnet.Reset, simnet.Truncate, simnet.Stall, simnet.Flip, simnet.Delay, simnet.Rate,
		simnet.Refuse, simnet.Partition, simnet.Cut, simnet.Freeze, simnet.Drop,
	} {
		kinds = append(kinds, string(op))
	}
	for _, m := range Misfortunes() {
		kinds = append(kinds, string(m))
	}
	return append(kinds, backedUp, moved, forbidden)
}

// report prints what was seen, and fails a run twice through all scenarios that
// never saw one kind of fault: what is not exercised is not tested.
func (p *progress) report(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds, %d failed, %v\n", p.done, p.bad, time.Since(p.began).Round(time.Second))
	fmt.Fprintf(&b, "%-18s %5s %7s %6s %6s %8s  %s\n", "scenario", "seeds", "gets", "hits %", "worst", "puts bad", "gets without a hit")
	for i := range scenarios {
		r := p.rows[scenarios[i].name]
		if r == nil {
			continue
		}
		fmt.Fprintf(&b, "%-18s %5d %7d %6.1f %6.1f %8s  %v\n", scenarios[i].name, r.seeds, r.gets,
			100*float64(r.hits)/float64(max(r.gets, 1)), 100*r.worst, fmt.Sprintf("%d/%d", r.failed, r.puts), r.causes)
	}
	for _, kind := range slices.Sorted(maps.Keys(p.faults)) {
		fmt.Fprintf(&b, "%-18s %d\n", kind, p.faults[kind])
	}
	if t.Log("\n" + b.String()); time.Since(p.began) > sayEvery {
		fmt.Fprint(os.Stderr, b.String())
	}
	if p.done < 2*len(scenarios) {
		return
	}
	for _, kind := range exercised() {
		if p.faults[kind] == 0 {
			t.Errorf("no seed met with %q", kind)
		}
	}
}

// rootName is the name of the test that a subtest is of.
func rootName(t *testing.T) string {
	root, _, _ := strings.Cut(t.Name(), "/")
	return "^" + root + "$"
}
