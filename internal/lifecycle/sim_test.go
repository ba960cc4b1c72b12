package lifecycle

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// sim is a world of one node: its proxy with two seats, its platform, its
// instances and the links between, in simulated time and decided by one seed.
type sim struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Duration
	due   agenda
	count int // orders events of one time
	steps int
	log   []string
	taken map[string]int

	seats     [2]*simSeat
	holdings  Holdings
	sessions  map[uint64]*simSeat // whose they are
	requests  map[uint64]*simRequest
	leaving   map[wire.Instance]bool // the proxy knows that they end
	gone      map[wire.Instance]bool // the proxy's word
	instances []*simInstance
	links     []*simLink // by number, from 1
	stopped   bool
}

// simSeat is one of the proxy's machines for the node.
type simSeat struct {
	n           int
	node        *Node
	outstanding bool
	inFlight    map[uint64]bool
	cause       Cause         // what the session is to be booked to
	returned    time.Duration // when the last invocation was over
	warmed      time.Duration // when the last warm-up began
}

type simRequest struct {
	seat  *simSeat
	cause Cause
	fate  fate
}

type fate uint8

const (
	waiting fate = iota
	sent
	over
)

// simInstance is a process: frozen between its sessions, and what reaches it
// then waits for the thaw.
type simInstance struct {
	n            int
	m            Instance
	id           wire.Instance
	dead, frozen bool
	backlog      []func()
	returns      map[uint64]int
	slept        uint64 // last session that returned by agreement
	dials        int    // the last one is the one under way
	main         uint64 // last session whose caller hears of this process's end
	noticed      bool   // with time left
	left         bool   // the machine said so
}

// simLink is FIFO each way until it breaks; a side that closed hears no more.
type simLink struct {
	n        uint64
	in       *simInstance
	seat     *simSeat // of its last hello; nil before the first
	broken   bool
	closed   [2]bool          // by side
	last     [2]time.Duration // latest arrival, by receiving side
	welcomed uint64           // session that the proxy welcomed on it
	agreed   bool             // and whose sleep it agreed to
}

const (
	proxySide = iota
	instanceSide
)

func newSim(t *testing.T, seed uint64, taken map[string]int) *sim {
	s := &sim{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), taken: taken,
		requests: map[uint64]*simRequest{}, sessions: map[uint64]*simSeat{},
		leaving: map[wire.Instance]bool{}, gone: map[wire.Instance]bool{},
		links: []*simLink{nil},
	}
	for i := range s.seats {
		cfg := Config{
			Seed: seed + uint64(i)<<32, WakeBudget: 800 * time.Millisecond, TrustFor: 80 * time.Millisecond,
			PingBudget: 50 * time.Millisecond, RedialFor: 200 * time.Millisecond,
			BackoffMax: 400 * time.Millisecond, PingEveryRequest: seed%7 == 0,
			Holdings: &s.holdings, WarmFor: 700 * time.Millisecond, Replicas: seed%3 == 0,
		}
		if seed%2 == 0 {
			cfg.WarmEvery, cfg.WarmPhase = simWarmEvery, s.between(0, simWarmEvery)
		}
		node, err := NewNode(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.seats[i] = &simSeat{n: i, node: node, inFlight: map[uint64]bool{}, returned: -time.Hour, warmed: -time.Hour}
	}
	return s
}

const simWarmEvery = 150 * time.Millisecond

func (s *sim) chance(percent int) bool { return s.rng.IntN(100) < percent }

func (s *sim) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.rng.Int64N(int64(b-a)+1))
}

// latency is mostly short, and now and then longer than any budget allows.
func (s *sim) latency() time.Duration {
	if s.chance(2) {
		return s.between(0, 700*time.Millisecond)
	}
	return s.between(0, 2*time.Millisecond)
}

// agenda is what will happen, soonest first.
type agenda []appointment

type appointment struct {
	at time.Duration
	n  int
	do func()
}

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].n < a[j].n
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

func (s *sim) after(d time.Duration, do func()) {
	s.count++
	heap.Push(&s.due, appointment{at: s.now + max(0, d), n: s.count, do: do})
}

func (s *sim) next() bool {
	if len(s.due) == 0 {
		return false
	}
	a := heap.Pop(&s.due).(appointment)
	s.now = a.at
	a.do()
	return true
}

func (s *sim) note(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf("%v ", s.now)+fmt.Sprintf(format, args...))
}

func (s *sim) recent() string { return strings.Join(s.log[max(0, len(s.log)-60):], "\n") }

// frame carries what arrives at the side to, in order, unless the link breaks
// or that side has closed.
func (s *sim) frame(l *simLink, to int, arrive func()) {
	if l.broken || l.closed[1-to] {
		return
	}
	at := max(l.last[to], s.now+s.latency())
	l.last[to] = at
	s.after(at-s.now, func() { s.at(l, to, arrive) })
}

func (s *sim) at(l *simLink, side int, do func()) {
	arrive := func() {
		if !l.broken && !l.closed[side] {
			do()
		}
	}
	if side == instanceSide {
		l.in.reach(arrive)
		return
	}
	arrive()
}

// close is one side's; the other learns of it behind what was sent before, or
// the connection is torn with all that was on it.
func (s *sim) close(l *simLink, side int) {
	if l.closed[side] {
		return
	}
	if s.chance(30) {
		s.tear(l, side)
		return
	}
	s.frame(l, 1-side, func() { s.lost(l, 1-side) })
	l.closed[side] = true
}

func (s *sim) tear(l *simLink, silent int) {
	if l.broken {
		return
	}
	l.broken = true
	for _, side := range [...]int{proxySide, instanceSide} {
		if side == silent {
			l.closed[side] = true
			continue
		}
		s.after(s.between(0, 20*time.Millisecond), func() {
			if side == instanceSide {
				l.in.reach(func() { s.lost(l, side) })
				return
			}
			s.lost(l, side)
		})
	}
}

func (s *sim) lost(l *simLink, side int) {
	if l.closed[side] {
		return
	}
	l.closed[side] = true
	if side == proxySide {
		s.stepLink(l, Event{Kind: OnLinkLost})
		return
	}
	s.stepInstance(l.in, Event{Kind: OnLinkDown, Link: l.n})
}
