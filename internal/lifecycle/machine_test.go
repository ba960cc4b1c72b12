package lifecycle

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

func TestRequestWhileAwakeDoesNotAllocate(t *testing.T) {
	n, err := NewNode(Config{})
	if err != nil {
		t.Fatal(err)
	}
	acts := n.Step(0, Event{Kind: OnPoke}, nil)
	acts = n.Step(time.Millisecond, Event{Kind: OnHello, Session: 1, Link: 1}, acts[:0])
	now := time.Millisecond
	allocs := testing.AllocsPerRun(1000, func() {
		now += time.Microsecond
		acts = n.Step(now, Event{Kind: OnRequest, ID: 7}, acts[:0])
		if len(acts) != 1 || acts[0].Kind != DoSend {
			t.Fatalf("a request while awake gave %v, want one send", acts)
		}
		acts = n.Step(now, Event{Kind: OnHeard, Link: 1}, acts[:0])
		acts = n.Step(now, Event{Kind: OnDone}, acts[:0])
	})
	if allocs != 0 {
		t.Errorf("request, frame and answer allocate %v times, want 0", allocs)
	}
}

func TestConfigComplaints(t *testing.T) {
	_, err := NewNode(Config{
		WakeBudget: -1, MaxWakes: -1, BackoffMin: time.Second, BackoffMax: time.Millisecond,
		PingBudget: -1, TrustFor: -1, RedialFor: -1, MaxQueue: -1, UnheardLimit: -1, UnheardAge: -1,
		WarmEvery: -1, WarmPhase: -1, WarmFor: -1,
	})
	if err == nil {
		t.Fatal("a configuration of nonsense was taken")
	}
	for _, field := range []string{
		"WakeBudget", "MaxWakes", "BackoffMin", "PingBudget", "TrustFor", "RedialFor",
		"MaxQueue", "UnheardLimit", "UnheardAge", "WarmEvery", "WarmPhase", "WarmFor",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
	if _, err := NewNode(Config{BackoffMin: -1, BackoffMax: -1}); err == nil {
		t.Error("negative back-offs were taken")
	}
}

// TestNonsense gives both machines events that no runner would: none may panic,
// and every invocation is answered at most once.
func TestNonsense(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		n, err := NewNode(Config{Seed: seed, MaxQueue: 8})
		if err != nil {
			t.Fatal(err)
		}
		var m Instance
		var now time.Duration
		invoked, returned, left := 0, 0, 0
		for range 500 {
			now += time.Duration(rng.Int64N(int64(200 * time.Millisecond)))
			ev := Event{
				Kind:  EventKind(rng.UintN(uint(eventKinds) + 2)),
				Timer: Timer(rng.UintN(uint(timerKinds) + 2)), Class: Class(rng.UintN(uint(classes) + 2)),
				ID: rng.Uint64N(4), Session: rng.Uint64N(60), Epoch: rng.Uint64N(3),
				Link: rng.Uint64N(3), Number: rng.Uint64N(4),
				Terms: Terms{
					Left: time.Duration(rng.Int64N(1e10) - 1e9), Margin: -1,
					Linger: wire.Linger{
						Stay: time.Duration(rng.Int64N(1e9) - 5e8), Quantum: time.Duration(rng.Int64N(1e8) - 5e7),
						Margin: time.Duration(rng.Int64N(1e8) - 5e7), Extra: rng.UintN(2) == 0,
					},
				},
			}
			ev.Instance[0] = byte(rng.UintN(8))
			if rng.UintN(2) == 0 {
				ev.Session = n.Session()
			}
			for _, a := range n.Step(now, ev, nil) {
				if a.String() == "" {
					t.Errorf("action of kind %d has no text", a.Kind)
				}
			}
			if len(n.holdings.instances) > rememberedInstances || n.Queued() > 8 || n.InFlight() < 0 {
				t.Fatalf("seed %d: %d instances, %d queued, %d in flight", seed, len(n.holdings.instances), n.Queued(), n.InFlight())
			}
			if ev.Kind == OnInvoked {
				invoked++
			}
			for _, a := range m.Step(now, ev, nil) {
				switch a.Kind {
				case DoReturn:
					returned++
				case DoLeave:
					left++
				}
			}
			running := 0
			if m.owed {
				running = 1
			}
			if left > 1 || left == 1 && (m.Phase() != Idle || m.Link() != 0) {
				t.Fatalf("seed %d: left %d times, %v with link %d after %v", seed, left, m.Phase(), m.Link(), ev)
			}
			if invoked != returned+running {
				t.Fatalf("seed %d: %d invoked, %d returned, %v after %v", seed, invoked, returned, m.Phase(), ev)
			}
			if ev.String() == "" {
				t.Errorf("event of kind %d has no text", ev.Kind)
			}
		}
	}
}
