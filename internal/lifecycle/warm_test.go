package lifecycle

import (
	"slices"
	"testing"
	"time"
)

// TestWarmPhasesSpread looks at the warm-ups of pools of many sizes around the
// minute: no short time has more of them than it must.
func TestWarmPhasesSpread(t *testing.T) {
	const every, window = time.Minute, 200 * time.Millisecond
	for _, c := range []struct{ nodes, most int }{{2, 1}, {40, 1}, {100, 1}, {400, 3}, {1000, 6}} {
		var at []time.Duration
		for node := range uint32(c.nodes) {
			p := WarmPhase(node, every)
			if p < 0 || p >= every {
				t.Fatalf("node %d has phase %v of %v", node, p, every)
			}
			at = append(at, p, p+every)
		}
		slices.Sort(at)
		most, first := 0, 0
		for i := range at {
			for at[i]-at[first] > window {
				first++
			}
			most = max(most, i-first+1)
		}
		t.Logf("%d nodes: at most %d warm-ups in %v", c.nodes, most, window)
		if most > c.most {
			t.Errorf("%d of %d nodes are warmed within %v, want at most %d", most, c.nodes, window, c.most)
		}
	}
	if p := WarmPhase(7, 0); p != 0 {
		t.Errorf("the phase in no time is %v", p)
	}
}

// TestWarmUpComesAtItsPhase falls asleep at all sorts of times, before the phase
// of the first round as well.
func TestWarmUpComesAtItsPhase(t *testing.T) {
	const every, phase = 10 * time.Second, 7 * time.Second
	for _, c := range []struct{ asleep, want time.Duration }{
		{0, 7 * time.Second},
		{7*time.Second - 1, 7 * time.Second},
		{7 * time.Second, 17 * time.Second},
		{16 * time.Second, 17 * time.Second},
		{1000 * time.Second, 1007 * time.Second},
	} {
		n, err := NewNode(Config{WarmEvery: every, WarmPhase: phase})
		if err != nil {
			t.Fatal(err)
		}
		acts := n.Step(c.asleep, Event{Kind: OnHolds, Number: 1}, nil)
		want := Action{Kind: DoSetTimer, Timer: TimerWarm, At: c.want}
		if len(acts) != 1 || acts[0] != want {
			t.Errorf("asleep at %v: %v, want %v", c.asleep, acts, want)
		}
	}
}
