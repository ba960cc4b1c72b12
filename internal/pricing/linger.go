package pricing

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Policy is how long nodes stay awake after their last request. The zero Policy
// is Fixed(0), which leaves the time to whoever takes it.
type Policy struct {
	kind  policyKind
	stay  time.Duration
	value float64
}

type policyKind uint8

const (
	fixed policyKind = iota
	paper
	breakEven
)

// Fixed stays for d, which is 1 ms to wire.MaxLinger, whatever it costs.
func Fixed(d time.Duration) Policy { return Policy{kind: fixed, stay: d} }

// Paper is the paper's billed duration control (section 3.3): return a margin
// before the billing quantum ends, and stay for one more when two or more requests
// came in this one.
func Paper() Policy { return Policy{kind: paper} }

// BreakEven stays as long as staying costs what waking again would: the price of
// an invocation, of the time that is billed around the request, and of the
// waiting, where value is how many dollars a second of a request's waiting is
// worth, 0 to MaxValue. Whenever the next request comes, that costs about twice at
// most what it would cost to have known.
func BreakEven(value float64) Policy { return Policy{kind: breakEven, value: value} }

// MaxValue bounds what a second of waiting is worth, in dollars.
const MaxValue = 1000

// PolicyForms is what ParsePolicy takes, for people.
const PolicyForms = "1ms to 1h0m0s, paper, break-even, or break-even:DOLLARS (what a second of waiting saved is worth, 0 to 1000)"

// ErrPolicy is what a text that is no policy gives, or one beyond its limits.
var ErrPolicy = errors.New("not a linger policy")

// ErrQuantum is what the paper's policy gives where it cannot work.
var ErrQuantum = errors.New("the billing quantum is too short")

// ParsePolicy reads `500ms`, `paper`, `break-even` or `break-even:0.01`. Its error
// matches ErrPolicy.
func ParsePolicy(s string) (Policy, error) {
	refuse := func() (Policy, error) {
		return Policy{}, fmt.Errorf("%w: %q, allowed are %s", ErrPolicy, s, PolicyForms)
	}
	name, value, valued := strings.Cut(s, ":")
	switch {
	case s == "paper":
		return Paper(), nil
	case name == "break-even":
		p := BreakEven(0)
		if valued {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return refuse()
			}
			p.value = v + 0 // no negative zero
		}
		if p.check() != nil {
			return refuse()
		}
		return p, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || Fixed(d).check() != nil {
		return refuse()
	}
	return Fixed(d), nil
}

// String is the text that ParsePolicy reads.
func (p Policy) String() string {
	switch {
	case p.kind == paper:
		return "paper"
	case p.kind == breakEven && p.value == 0:
		return "break-even"
	case p.kind == breakEven:
		return "break-even:" + strconv.FormatFloat(p.value, 'g', -1, 64)
	}
	return p.stay.String()
}

func (p Policy) check() error {
	switch {
	case p.kind == fixed && (p.stay < minStay || p.stay > wire.MaxLinger):
		return fmt.Errorf("%w: %v, allowed are %v to %v", ErrPolicy, p.stay, minStay, wire.MaxLinger)
	case p.kind == breakEven && !(p.value >= 0 && p.value <= MaxValue):
		return fmt.Errorf("%w: $%v for a second of waiting, allowed are 0 to %d", ErrPolicy, p.value, MaxValue)
	}
	return nil
}

const (
	// minStay is the shortest stay that is told from none: a shorter one is
	// within what messages take.
	minStay = time.Millisecond
	// wakeBilled is what a session is billed around its requests: joining the
	// proxy at its start and the handshake at its end, about a round trip each.
	wakeBilled = 2 * time.Millisecond
	// wakeDelay is how much longer a request takes that finds its node asleep: an
	// invocation of a frozen instance (the paper measures 13 ms in the mean).
	wakeDelay = 13 * time.Millisecond
)

// Margin is how long before the end of a quantum the paper's nodes begin to
// return: bigger functions have more of a processor to do it with.
func Margin(memory int64) time.Duration {
	if memory >= 1792*mb {
		return 2 * time.Millisecond
	}
	return 10 * time.Millisecond
}

// WakeCost is what a request costs more that finds its node frozen, if a second of
// its waiting is worth value dollars.
//
// Two things are not in it. The rest of the quantum in which the request is served:
// a node that stayed pays for that as well. And a fresh instance's start: that is
// what a lost one costs, and staying awake does not keep instances from being taken.
func (p Plan) WakeCost(memory int64, value float64) float64 {
	return p.Cost(memory, wakeBilled, 1) + value*wakeDelay.Seconds()
}

// On is what the policy means to nodes of that memory under that plan: numbers
// that an instance can follow without knowing prices. Its error matches ErrPolicy
// for a policy beyond its limits, and ErrQuantum for the paper's where a quantum
// is not above the margin.
func (p Policy) On(plan Plan, memory int64) (wire.Linger, error) {
	if err := p.check(); err != nil {
		return wire.Linger{}, err
	}
	margin := Margin(memory)
	aligned := plan.Quantum > margin && plan.Quantum <= wire.MaxLinger
	switch {
	case p.kind == fixed:
		return wire.Linger{Stay: p.stay}, nil
	case p.kind == paper && !aligned:
		return wire.Linger{}, fmt.Errorf("%w for the paper's policy: it is %v, and must be above the margin of %v and at most %v",
			ErrQuantum, plan.Quantum, margin, wire.MaxLinger)
	case p.kind == paper:
		return wire.Linger{Quantum: plan.Quantum, Margin: margin, Extra: true}, nil
	}
	stay := plan.stay(memory, p.value)
	if aligned && stay < wire.MaxLinger {
		return wire.Linger{Stay: stay, Quantum: plan.Quantum, Margin: margin}, nil
	}
	return wire.Linger{Stay: max(stay, minStay)}, nil
}

// stay is for how long staying awake costs what waking again would; where it
// costs nothing, the longest there is.
func (p Plan) stay(memory int64, value float64) time.Duration {
	rate := p.Rate(memory)
	if rate <= 0 {
		return wire.MaxLinger
	}
	ns := math.Round(p.WakeCost(memory, value) / rate * 1e9)
	if ns >= float64(wire.MaxLinger) {
		return wire.MaxLinger
	}
	return time.Duration(ns)
}
