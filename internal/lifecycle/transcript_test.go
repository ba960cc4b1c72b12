package lifecycle

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/infinicache/infinicache/internal/wire"
)

// TestTranscripts plays the scenarios under testdata. A command is `proxy` for
// the Node or `instance` for the Instance of the file, `seat` for a second Node
// that shares the first one's holdings; its lines are a time and an event in the
// form that Event.String prints, with one letter for an instance. Run with
// -rewrite to make the answers anew.
func TestTranscripts(t *testing.T) { playTranscripts(t, map[string]int{}) }

// playTranscripts counts the arrows it takes in taken.
func playTranscripts(t *testing.T, taken map[string]int) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var node, seat *Node
		var inst *Instance
		var holdings Holdings
		playNode := func(t *testing.T, d *datadriven.TestData, n, other *Node) string {
			return play(t, d, func(now time.Duration, ev Event) ([]Action, string) {
				if other != nil {
					n.Above(other.Session())
				}
				before := n.phase
				acts := n.Step(now, ev, nil)
				take(taken, before, ev, n.phase)
				return acts, fmt.Sprintf("%v, %d queued, %d in flight", n.phase, len(n.queue), n.inFlight)
			})
		}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "proxy":
				if node == nil {
					node = newTestNode(t, d, &holdings)
				}
				return playNode(t, d, node, seat)
			case "seat":
				if seat == nil {
					seat = newTestNode(t, d, &holdings)
				}
				return playNode(t, d, seat, node)
			case "instance":
				if inst == nil {
					inst = new(Instance)
				}
				return play(t, d, func(now time.Duration, ev Event) ([]Action, string) {
					before := inst.phase
					acts := inst.Step(now, ev, nil)
					take(taken, before, ev, inst.phase)
					return acts, fmt.Sprintf("%v, %d active", inst.phase, inst.active)
				})
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

func newTestNode(t *testing.T, d *datadriven.TestData, h *Holdings) *Node {
	t.Helper()
	cfg := Config{Seed: 1, Holdings: h}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "ping-every-request":
			cfg.PingEveryRequest = true
		case "max-queue":
			a.Scan(t, 0, &cfg.MaxQueue)
		case "unheard-limit":
			a.Scan(t, 0, &cfg.UnheardLimit)
		case "wake-budget":
			cfg.WakeBudget = duration(t, d, a.Vals[0])
		case "replicas":
			cfg.Replicas = true
		case "warm-every":
			cfg.WarmEvery = duration(t, d, a.Vals[0])
		case "warm-phase":
			cfg.WarmPhase = duration(t, d, a.Vals[0])
		case "warm-for":
			cfg.WarmFor = duration(t, d, a.Vals[0])
		default:
			d.Fatalf(t, "unknown setting %q", a.Key)
		}
	}
	n, err := NewNode(cfg)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return n
}

// play gives each line's event to step and writes down what it answers.
func play(t *testing.T, d *datadriven.TestData, step func(time.Duration, Event) ([]Action, string)) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(d.Input) {
		words := strings.Fields(line)
		if len(words) < 2 {
			d.Fatalf(t, "line %q is not a time and an event", line)
		}
		ev := parseEvent(t, d, words[1:])
		acts, state := step(duration(t, d, words[0]), ev)
		fmt.Fprintf(&b, "%s %v => %s\n", words[0], ev, state)
		for _, a := range acts {
			fmt.Fprintf(&b, "    %v\n", a)
		}
	}
	return b.String()
}

func parseEvent(t *testing.T, d *datadriven.TestData, words []string) Event {
	t.Helper()
	var ev Event
	ev.Kind = eventKinds
	for k := range eventKinds {
		if k.String() == words[0] {
			ev.Kind = k
		}
	}
	if ev.Kind == eventKinds {
		d.Fatalf(t, "no event %q", words[0])
	}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		number := func() uint64 {
			v, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				d.Fatalf(t, "%s: %v", w, err)
			}
			return v
		}
		switch name {
		case "id":
			ev.ID = number()
		case "session":
			ev.Session = number()
		case "epoch":
			ev.Epoch = number()
		case "link":
			ev.Link = number()
		case "number":
			ev.Number = number()
		case "instance":
			ev.Instance = testInstance(value)
		case "class":
			ev.Class = named(t, d, value, classes)
		case "cause":
			ev.Cause = named(t, d, value, causes)
		case "timer":
			ev.Timer = named(t, d, value, timerKinds)
		case "code":
			ev.Code = wire.Code(number())
		case "left":
			ev.Terms.Left = duration(t, d, value)
		case "linger":
			ev.Terms.Linger = parseLinger(t, d, value)
		case "margin":
			ev.Terms.Margin = duration(t, d, value)
		default:
			d.Fatalf(t, "no field %q", name)
		}
	}
	return ev
}

// parseLinger reads the form that wire.Linger.String prints.
func parseLinger(t *testing.T, d *datadriven.TestData, s string) (l wire.Linger) {
	t.Helper()
	s, l.Extra = strings.CutSuffix(s, "+1")
	stay, billing, aligned := strings.Cut(s, "/")
	l.Stay = duration(t, d, stay)
	if aligned {
		quantum, margin, _ := strings.Cut(billing, "-")
		l.Quantum, l.Margin = duration(t, d, quantum), duration(t, d, margin)
	}
	return l
}

// testInstance makes the instance "a" be aaaaaaaa, and so on up to f.
func testInstance(letter string) wire.Instance {
	var id wire.Instance
	for i := range id {
		id[i] = (letter[0] - 'a' + 10) * 0x11
	}
	return id
}

func named[T interface {
	~uint8
	fmt.Stringer
}](t *testing.T, d *datadriven.TestData, name string, end T) T {
	t.Helper()
	for v := range end {
		if v.String() == name {
			return v
		}
	}
	d.Fatalf(t, "no %T %q", end, name)
	return end
}

func duration(t *testing.T, d *datadriven.TestData, s string) time.Duration {
	t.Helper()
	v, err := time.ParseDuration(s)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return v
}
