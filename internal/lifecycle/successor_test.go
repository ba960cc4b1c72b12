package lifecycle

import (
	"slices"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// A machine that has a successor serves the instance that leaves to its end, and
// begins no session whatever is asked of it. The successor's sessions follow.
func TestSuccessor(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sleep bool // the notice comes while the instance sleeps
	}{{"in session", false}, {"asleep", true}} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := NewNode(Config{WarmEvery: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			now := time.Duration(0)
			step := func(m *Node, ev Event) []Action {
				now += time.Millisecond
				return m.Step(now, ev, nil)
			}
			has := func(acts []Action, kind ActionKind) bool {
				return slices.ContainsFunc(acts, func(a Action) bool { return a.Kind == kind })
			}
			a := wire.Instance{1}
			step(n, Event{Kind: OnHolds, Number: 1})
			step(n, Event{Kind: OnPoke})
			step(n, Event{Kind: OnHello, Session: 1, Link: 1, Instance: a})
			if tt.sleep {
				step(n, Event{Kind: OnSleep, Session: 1, Link: 1})
				step(n, Event{Kind: OnReturned, Session: 1})
			}
			if acts := step(n, Event{Kind: OnNoticed, Session: 1, Link: 1, Number: 25_000}); !has(acts, NoteLeaving) {
				t.Fatalf("a notice gives %v", acts)
			}
			next := n.Successor()
			if acts := step(n, Event{Kind: OnRequest, ID: 1}); !has(acts, DoSend) {
				t.Errorf("a request for the instance that leaves gives %v, want that it is sent", acts)
			}
			step(n, Event{Kind: OnDone})
			acts := step(next, Event{Kind: OnRequest, ID: 2})
			if !has(acts, DoInvoke) || next.Session() != 2 {
				t.Errorf("a request for the next instance gives %v, want session 2", acts)
			}
			if acts := step(next, Event{Kind: OnHello, Session: 2, Link: 2, Instance: wire.Instance{2}}); has(acts, NoteUnheard) || has(acts, NoteLost) {
				t.Errorf("the next instance's hello gives %v: the other one is in session beside it", acts)
			}

			acts = step(n, Event{Kind: OnBye, Session: 1, Link: 1})
			acts = append(acts, step(n, Event{Kind: OnRequest, ID: 3})...)
			acts = append(acts, step(n, Event{Kind: OnReturned, Session: 1})...)
			for range 3 {
				now += time.Minute
				acts = append(acts, step(n, Event{Kind: OnPoke})...)
				acts = append(acts, step(n, Event{Kind: OnRequest, ID: 4})...)
				for timer := TimerWake; timer < TimerWelcome; timer++ {
					acts = append(acts, step(n, Event{Kind: OnTick, Timer: timer})...)
				}
			}
			if !has(acts, NoteLost) || !has(acts, DoFail) || has(acts, DoInvoke) {
				t.Errorf("after its end: %v, want the instance lost, requests failed, and no session", acts)
			}
			if n.Queued() > 0 || n.Phase() != Asleep {
				t.Errorf("%d requests wait, it is %v", n.Queued(), n.Phase())
			}
		})
	}
}
