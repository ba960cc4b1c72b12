package pricing_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pricing"
)

// What a node of the simulation has and takes.
const (
	memory    = 1536 << 20
	invoking  = 13 * time.Millisecond // until an instance runs
	roundTrip = time.Millisecond      // of a message and its answer
	serving   = 8 * time.Millisecond  // of a request
	limit     = 15 * time.Minute      // of a session
	requests  = 20_000
)

// TestLingerTable plays requests at random times to one node and writes down what
// each policy makes of them. Run with -rewrite to make the tables anew; they are in
// docs/design.md too, that of Cloud Run in docs/portability.md.
func TestLingerTable(t *testing.T) {
	datadriven.RunTest(t, "testdata/linger", func(t *testing.T, d *datadriven.TestData) string {
		var name string
		d.ScanArgs(t, "price", &name)
		tariff, ok := pricing.TariffOf(name)
		if !ok {
			d.Fatalf(t, "no tariff %q", name)
		}
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
		fmt.Fprintln(w, "| policy\t| requests/min\t| billed ms each\t| asleep\t| waited for a wake\t| $ a million\t|")
		fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|")
		for _, text := range strings.Fields(d.Input) {
			policy, err := pricing.ParsePolicy(text)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			for _, rate := range []float64{1, 10, 100} {
				s, err := simulate(tariff.Plan(memory), policy, rate)
				if errors.Is(err, pricing.ErrQuantum) {
					fmt.Fprintf(w, "| %s\t| any\t| refused\t|\t|\t|\t|\n", text)
					break
				}
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				fmt.Fprintf(w, "| %s\t| %v\t| %.1f\t| %.1f %%\t| %.1f %%\t| %.2f\t|\n", text, rate,
					s.billed.Seconds()*1e3/requests, 100*(1-s.awake.Seconds()/s.now.Seconds()),
					100*float64(s.waited)/requests, s.plan.Cost(memory, s.billed, s.sessions)*1e6/requests)
			}
		}
		w.Flush()
		t.Logf("%s\n%s", tariff.Title, b.String())
		return b.String()
	})
}

// simulation is one node whose instance is the real machine; its proxy, platform
// and time are played here.
type simulation struct {
	plan    pricing.Plan
	terms   lifecycle.Terms
	machine lifecycle.Instance
	now     time.Duration
	timers  map[lifecycle.Timer]time.Duration
	due     []event // in order
	links   uint64
	asked   bool // to sleep, or the session is over: requests wait
	waiting int

	sessions, waited uint64
	began            time.Duration // of the session; its instance runs from here
	billed, awake    time.Duration
}

type event struct {
	at time.Duration
	do func()
}

func simulate(plan pricing.Plan, policy pricing.Policy, perMinute float64) (*simulation, error) {
	linger, err := policy.On(plan, memory)
	if err != nil {
		return nil, err
	}
	s := &simulation{
		plan: plan, terms: lifecycle.Terms{Left: limit, Linger: linger},
		timers: map[lifecycle.Timer]time.Duration{}, asked: true,
	}
	rng := rand.New(rand.NewPCG(1, 2020))
	left := requests
	var arrive func()
	arrive = func() {
		if left--; left > 0 {
			s.after(time.Duration(rng.ExpFloat64()/perMinute*float64(time.Minute)), arrive)
		}
		s.request()
	}
	s.after(0, arrive)
	for s.next() {
	}
	return s, nil
}

func (s *simulation) after(d time.Duration, do func()) {
	i := len(s.due)
	for i > 0 && s.due[i-1].at > s.now+d {
		i--
	}
	s.due = append(s.due, event{})
	copy(s.due[i+1:], s.due[i:])
	s.due[i] = event{s.now + d, do}
}

// next lets the earliest thing happen: an event, or one of the machine's timers.
func (s *simulation) next() bool {
	first, set := lifecycle.Timer(0), false
	for k, at := range s.timers {
		if !set || at < s.timers[first] || at == s.timers[first] && k < first {
			first, set = k, true
		}
	}
	switch {
	case set && (len(s.due) == 0 || s.timers[first] < s.due[0].at):
		s.now = max(s.now, s.timers[first])
		delete(s.timers, first)
		s.step(lifecycle.Event{Kind: lifecycle.OnTick, Timer: first})
	case len(s.due) > 0:
		e := s.due[0]
		s.due = s.due[1:]
		s.now = e.at
		e.do()
	default:
		return false
	}
	return true
}

// request is sent if the instance is awake, and otherwise wakes it.
func (s *simulation) request() {
	if !s.asked && s.machine.Accepting() {
		s.serve()
		return
	}
	s.waited++
	s.waiting++
	if s.machine.Phase() == lifecycle.Idle && s.waiting == 1 {
		s.invoke()
	}
}

func (s *simulation) serve() {
	s.step(lifecycle.Event{Kind: lifecycle.OnBegan, Link: s.links})
	s.after(serving, func() { s.step(lifecycle.Event{Kind: lifecycle.OnEnded}) })
}

func (s *simulation) invoke() {
	s.sessions++
	s.after(invoking, func() {
		s.began = s.now
		s.step(lifecycle.Event{Kind: lifecycle.OnInvoked, Session: s.sessions, Epoch: 1, Terms: s.terms})
	})
}

func (s *simulation) step(ev lifecycle.Event) {
	for _, a := range s.machine.Step(s.now, ev, nil) {
		switch a.Kind {
		case lifecycle.DoSetTimer:
			s.timers[a.Timer] = a.At
		case lifecycle.DoClearTimer:
			delete(s.timers, a.Timer)
		case lifecycle.DoDial:
			s.links++
			s.after(roundTrip, func() { s.step(lifecycle.Event{Kind: lifecycle.OnLinkUp, Link: s.links}) })
		case lifecycle.DoHello:
			s.after(roundTrip, s.welcome)
		case lifecycle.DoAskSleep:
			s.asked = true // agreed, and on its way back
			s.after(roundTrip, func() {
				s.step(lifecycle.Event{Kind: lifecycle.OnAsleep, Session: s.sessions, Link: s.links})
			})
		case lifecycle.DoReturn:
			s.asked = true
			s.awake += s.now - s.began
			s.billed += s.plan.Billed(s.now-s.began, 0)
			if s.waiting > 0 {
				s.invoke()
			}
		}
	}
}

func (s *simulation) welcome() {
	s.asked = false
	s.step(lifecycle.Event{Kind: lifecycle.OnWelcome, Session: s.sessions, Link: s.links})
	for ; s.waiting > 0; s.waiting-- {
		s.serve()
	}
}
