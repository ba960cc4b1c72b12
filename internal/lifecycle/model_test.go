package lifecycle

import (
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"
)

const modelSeeds = 600

// TestModel joins both machines by simulated links and a simulated platform and
// lets random requests and faults loose on them; sim checks the invariants. It
// also compares the arrows that were taken, by it or in the transcripts, with
// those that docs/lifecycle.md lists: each of them must have been taken, and no
// other.
func TestModel(t *testing.T) {
	taken := map[string]int{}
	playTranscripts(t, taken)
	steps := 0
	for seed := range uint64(modelSeeds) {
		s := newSim(t, seed, taken)
		s.run()
		steps += s.steps
		if t.Failed() {
			t.Fatalf("seed %d; the last events were:\n%s", seed, s.recent())
		}
	}
	t.Logf("%d steps", steps)

	listed := documentedArrows(t)
	for a := range listed {
		if taken[a] == 0 {
			t.Errorf("docs/lifecycle.md lists %q, which never happened", a)
		}
	}
	for a, n := range taken {
		if !listed[a] {
			t.Errorf("%q happened %d times, docs/lifecycle.md does not list it", a, n)
		}
	}
}

// documentedArrows reads the rows `| from | event | to | ...` of the two tables
// of arrows.
func documentedArrows(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/lifecycle.md")
	if err != nil {
		t.Fatal(err)
	}
	arrows := map[string]bool{}
	phases := map[string]bool{}
	for p := range nodePhases {
		phases[p.String()] = true
	}
	for p := range instancePhases {
		phases[p.String()] = true
	}
	row := regexp.MustCompile(`(?m)^\| ([a-z]+) \| ([a-z-]+(?: [a-z]+)?) \| ([a-z]+) \|`)
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if phases[m[1]] {
			arrows[fmt.Sprintf("%s, %s: %s", m[1], m[2], m[3])] = true
		}
	}
	if len(arrows) == 0 {
		t.Fatal("docs/lifecycle.md lists no arrows")
	}
	return arrows
}

// take counts a change of phase. Ticks and returns are told apart by what they
// say.
func take[P interface {
	comparable
	fmt.Stringer
}](taken map[string]int, from P, ev Event, to P) {
	if from == to {
		return
	}
	kind := ev.Kind.String()
	switch {
	case ev.Kind == OnTick:
		kind += " " + ev.Timer.String()
	case ev.Kind == OnReturned && ev.Class == OK:
		kind += " ok"
	case ev.Kind == OnReturned:
		kind += " failed"
	}
	taken[fmt.Sprintf("%v, %s: %v", from, kind, to)]++
}

// run lets requests come for two seconds of the simulation, then waits until
// nothing is left to happen.
func (s *sim) run() {
	var next func()
	next = func() {
		if s.now > 2*time.Second {
			return
		}
		s.wish()
		s.after(s.gap(), next)
	}
	s.after(0, next)
	if s.chance(25) {
		s.after(s.between(0, 2*time.Second), func() {
			s.stopped = true
			for _, seat := range s.seats {
				s.stepNode(seat, Event{Kind: OnStop})
			}
		})
	}
	for s.next() && !s.t.Failed() {
		if s.now > 5*time.Minute {
			s.t.Errorf("not quiet after %v", s.now)
		}
	}
	if !s.t.Failed() {
		s.checkQuiet()
	}
}

// gap makes bursts, pauses that a lingering node outlasts, and longer ones.
func (s *sim) gap() time.Duration {
	switch {
	case s.chance(60):
		return s.between(0, 3*time.Millisecond)
	case s.chance(70):
		return s.between(0, 60*time.Millisecond)
	}
	return s.between(0, 400*time.Millisecond)
}

func (s *sim) checkQuiet() {
	for _, seat := range s.seats {
		n := seat.node
		if n.phase != Asleep || seat.outstanding || n.timers.set != 0 || len(n.queue) != 0 {
			s.t.Errorf("seat %d ended %v, outstanding %v, timers %b, %d queued",
				seat.n, n.phase, seat.outstanding, n.timers.set, len(n.queue))
		}
	}
	for id := range s.leaving {
		if !s.stopped && s.holdings.index(id) >= 0 {
			s.t.Errorf("instance %v has left and is not lost", id)
		}
	}
	for id, r := range s.requests {
		if r.fate != over {
			s.t.Errorf("request %d was never over", id)
		}
	}
	for _, in := range s.instances {
		if in.dead {
			continue
		}
		if in.m.phase != Idle || in.m.timers.set != 0 {
			s.t.Errorf("instance %d ended %v, timers %b", in.n, in.m.phase, in.m.timers.set)
		}
		for session, returns := range in.returns {
			if returns != 1 {
				s.t.Errorf("instance %d returned session %d %d times", in.n, session, returns)
			}
		}
	}
}
