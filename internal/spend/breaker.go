package spend

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// Limit names what a Breaker limits.
type Limit uint8

const (
	None        Limit = iota // nothing forbids
	Invocations              // per second
	Dollars                  // per hour

	limits
)

// Limits is how many limits there are: the length of a table by limit, in which
// None has a place.
const Limits = int(limits)

var limitNames = [limits]string{"none", "invocations", "dollars"}

func (l Limit) String() string {
	if l < limits {
		return limitNames[l]
	}
	return fmt.Sprintf("limit(%d)", uint8(l))
}

const (
	// closeBelow is to what share of the dollars spending must fall before a
	// breaker that they tripped closes.
	closeBelow = 0.95
	// settle is how long nothing must have been refused before a breaker that
	// the rate tripped counts as closed. It forbids nothing meanwhile.
	settle = time.Second
)

// BreakerConfig says what may be spent, and what sessions cost. The zero
// BreakerConfig limits nothing.
type BreakerConfig struct {
	// InvocationsPerSecond is how many sessions may begin in a second, in the
	// long run; 0 is no limit.
	InvocationsPerSecond float64
	// Burst is how many may begin at once. 0 is one second's worth, and at least
	// Nodes and 1: a pool that sleeps can be woken whole.
	Burst int
	// Nodes is how many nodes the pool has.
	Nodes int

	// DollarsPerHour is how much may be spent in any hour; 0 is no limit.
	DollarsPerHour float64
	// PerSession is the least that a session costs, in dollars: its invocation
	// and the first quantum. It is set aside when the session begins.
	PerSession float64
	// PerSecond is what a second of a session costs, in dollars. It is how
	// sessions are reckoned that still run.
	PerSecond float64
}

func (c BreakerConfig) check() error {
	var bad []error
	for _, f := range []struct {
		name string
		v    float64
	}{
		{"InvocationsPerSecond", c.InvocationsPerSecond}, {"Burst", float64(c.Burst)}, {"Nodes", float64(c.Nodes)},
		{"DollarsPerHour", c.DollarsPerHour}, {"PerSession", c.PerSession}, {"PerSecond", c.PerSecond},
	} {
		if !(f.v >= 0) || math.IsInf(f.v, 1) {
			bad = append(bad, fmt.Errorf("%s is %v, allowed is 0 or more", f.name, f.v))
		}
	}
	if c.DollarsPerHour > 0 && c.PerSession > c.DollarsPerHour {
		bad = append(bad, fmt.Errorf("DollarsPerHour is %v, allowed is 0, or what one session costs and more, %v",
			c.DollarsPerHour, c.PerSession))
	}
	return errors.Join(bad...)
}

// Breaker forbids sessions to begin that would go beyond a limit. Dollars are what
// sessions cost that ended in the last hour (up to a minute more), and what those
// that run are expected to. Tripped by dollars it stays so until they are below
// 95 % of the limit.
//
// What runs is not ended, so an hour can cost more than its limit: by what the
// sessions that ran when it tripped go on to cost.
type Breaker struct {
	cfg  BreakerConfig
	rate *Bucket

	mu      sync.Mutex
	now     time.Duration // latest seen
	booked  window
	running int
	elapsed float64 // seconds that the running sessions have run together

	by      Limit
	since   time.Duration
	refusal time.Duration // when the last was
	trips   [limits]uint64
	refused [limits]uint64
}

// NewBreaker makes a breaker. All complaints about cfg come at once.
func NewBreaker(cfg BreakerConfig) (*Breaker, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("spend breaker: %w", err)
	}
	burst := cmp.Or(float64(cfg.Burst), max(cfg.InvocationsPerSecond, float64(cfg.Nodes), 1))
	return &Breaker{cfg: cfg, rate: NewBucket(cfg.InvocationsPerSecond, burst)}, nil
}

// Allow says whether a session may begin, and if not, which limit forbids it and
// after what time to ask again. If both do it is Dollars, which lasts longer. A
// refusal is counted. Between a yes and Begin another may come first.
//
// The time is when the limit allows a session if none begins until then; where
// dollars are held by sessions that run, they may be free sooner, or later.
func (b *Breaker) Allow(now time.Duration) (ok bool, why Limit, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	why, again = b.judge(now)
	return why == None, why, again
}

// Begin is Allow, and begins a session if it may: it then counts against the rate,
// and against the dollars until its End, which must follow. A session that may not
// begin is nil.
func (b *Breaker) Begin(now time.Duration) (s *Session, why Limit, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if why, again = b.judge(now); why != None {
		return nil, why, again
	}
	b.rate.Take(b.now, 1)
	b.running++
	return &Session{breaker: b, began: b.now}, None, 0
}

// Session is one that a breaker let begin.
type Session struct {
	breaker *Breaker
	began   time.Duration
	over    bool
}

// End books what the session cost, however it ended; 0 if nothing is billed. Only
// the first End counts.
func (s *Session) End(now time.Duration, cost float64) {
	b := s.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	b.advance(now)
	b.booked.add(b.now, dollars(cost))
	b.running--
	b.elapsed = max(0, b.elapsed-(b.now-s.began).Seconds())
	if b.running == 0 {
		b.elapsed = 0 // and what was rounded with it
	}
}

func (b *Breaker) advance(now time.Duration) {
	if now > b.now {
		b.elapsed += float64(b.running) * (now - b.now).Seconds()
		b.now = now
	}
}

// judge decides on one session and notes the verdict.
func (b *Breaker) judge(now time.Duration) (why Limit, again time.Duration) {
	b.advance(now)
	if again = b.short(b.by == Dollars); again > 0 {
		why, again = Dollars, b.short(true)
	} else if again = b.rate.Wait(b.now, 1); again > 0 {
		why = Invocations
	} else {
		b.relax()
		return None, 0
	}
	if b.by != why {
		b.by, b.since = why, b.now
		b.trips[why]++
	}
	b.refused[why]++
	b.refusal = b.now
	return why, again
}

// short is for how long the dollars do not allow a session, 0 if they do. They
// have to fall further where they tripped the breaker.
func (b *Breaker) short(tripped bool) time.Duration {
	most := b.cfg.DollarsPerHour
	if most == 0 {
		return 0
	}
	ceiling := most
	if tripped {
		ceiling *= closeBelow
	}
	return b.booked.until(b.now, b.expected(), func(spent float64) bool {
		return spent < ceiling && spent+b.cfg.PerSession <= most
	})
}

// expected is what the running sessions cost if they ended now. The first quantum
// counts twice for those that are past it.
func (b *Breaker) expected() float64 {
	return float64(b.running)*b.cfg.PerSession + b.elapsed*b.cfg.PerSecond
}

// relax closes a breaker that the dollars allow to close.
func (b *Breaker) relax() {
	if b.by == Dollars || b.now-b.refusal >= settle {
		b.by = None
	}
}

// BreakerStatus describes a breaker at one instant.
type BreakerStatus struct {
	// Tripped is the limit that forbids sessions, None when it is closed. A limit
	// counts as tripped from its first refusal: by Invocations until nothing was
	// refused for a second, by Dollars until they are below 95 % of the limit.
	Tripped Limit
	// Since is when that began; 0 when closed.
	Since time.Duration
	// Trips and Refused count, by limit, how often it tripped and how many times
	// it said no.
	Trips, Refused [Limits]uint64
	// Running is how many sessions began and have not ended.
	Running int
	// Booked is what those cost that ended in the last hour, in dollars, and
	// Expected what those that run are expected to.
	Booked, Expected float64
}

// Status describes the breaker. Asking is no refusal and trips nothing.
func (b *Breaker) Status(now time.Duration) BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(now)
	if b.short(b.by == Dollars) == 0 {
		b.relax()
	}
	s := BreakerStatus{
		Tripped: b.by, Trips: b.trips, Refused: b.refused,
		Running: b.running, Booked: b.booked.sum(b.now), Expected: b.expected(),
	}
	if b.by != None {
		s.Since = b.since
	}
	return s
}
