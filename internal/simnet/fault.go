package simnet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Fault is a rule at work in a network. It is safe for concurrent use.
type Fault struct {
	net  *Net
	rule Rule

	// The network's lock guards the rest.
	active  bool  // between At and At+For
	done    bool  // a rule that fires once has
	fired   int   // see Op
	seen    int64 // writes, bytes or dials so far
	busy    time.Time
	chance  *rand.Rand
	stalled *pipe // by this fault
	timers  []*time.Timer
}

// Add sets a rule to work. Its counts and its At begin now. It panics if the
// rule is not one that ParseRules could have made.
func (n *Net) Add(rule Rule) *Fault {
	if parsed, err := ParseRules(rule.String()); err != nil || len(parsed) != 1 || parsed[0] != rule {
		panic(fmt.Sprintf("simnet: rule %+v has no text: %v", rule, err))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f := &Fault{
		net:    n,
		rule:   rule,
		chance: rand.New(rand.NewPCG(n.seed, uint64(len(n.faults)))),
	}
	n.faults = append(n.faults, f)
	if rule.At > 0 {
		f.after(rule.At, f.begin)
	} else {
		f.begin()
	}
	return f
}

// Script adds the rules of a text, in order.
func (n *Net) Script(text string) ([]*Fault, error) {
	rules, err := ParseRules(text)
	if err != nil {
		return nil, err
	}
	faults := make([]*Fault, len(rules))
	for i, rule := range rules {
		faults[i] = n.Add(rule)
	}
	return faults, nil
}

// Report returns the seed and every rule added so far with how often it fired,
// as text that ParseRules reads: what a failing test prints.
func (n *Net) Report() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "# seed %d\n", n.seed)
	for _, f := range n.faults {
		fmt.Fprintf(&b, "%-50s # fired %d\n", f.rule, f.fired)
	}
	return b.String()
}

// Rule returns the rule that the fault was made from.
func (f *Fault) Rule() Rule { return f.rule }

// Fired returns how often the rule took effect so far; Op says what it counts.
func (f *Fault) Fired() int {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	return f.fired
}

// Remove ends the fault. What it held back goes on; what it broke stays broken.
func (f *Fault) Remove() {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	f.end()
}

func (f *Fault) begin() {
	f.active = true
	switch f.rule.Op {
	case Freeze:
		f.fired++
	case Drop:
		f.fired += f.net.drop(f.rule.A)
	case Stall:
		return // its For begins when it stalls
	}
	if f.rule.For > 0 {
		f.after(f.rule.For, f.end)
	}
	f.net.refresh()
}

func (f *Fault) end() {
	f.stop()
	f.active = false
	if f.stalled != nil {
		f.stalled.stalled = false
		f.stalled = nil
	}
	f.net.refresh()
}

// after calls what with the network's lock held, unless the fault ends first.
func (f *Fault) after(d time.Duration, what func()) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		f.net.mu.Lock()
		defer f.net.mu.Unlock()
		for _, t := range f.timers {
			if t == timer && !f.net.closed {
				what()
				return
			}
		}
	})
	f.timers = append(f.timers, timer)
}

func (f *Fault) stop() {
	for _, t := range f.timers {
		t.Stop()
	}
	f.timers = nil
}

// at yields the active faults of that kind on a link.
func (n *Net) at(op Op, from, to string) func(yield func(*Fault) bool) {
	return func(yield func(*Fault) bool) {
		for _, f := range n.faults {
			if f.active && !f.done && f.rule.Op == op && f.rule.onLink(from, to) && !yield(f) {
				return
			}
		}
	}
}

// fire books a fault that fires once.
func (f *Fault) fire() {
	f.fired++
	f.done = true
}

// countWrite counts a write, which may be the one to reset.
func (n *Net) countWrite(c *conn) {
	for f := range n.at(Reset, c.out.from, c.out.to) {
		if f.rule.Write == 0 {
			continue
		}
		if f.seen++; f.seen == f.rule.Write {
			f.fire()
			c.abort()
		}
	}
}

// afterBytes are the rules that fire between two bytes.
var afterBytes = [...]Op{Reset, Truncate, Stall}

// reach fires the rules whose number of bytes has passed.
func (n *Net) reach(c *conn) {
	for _, op := range afterBytes {
		for f := range n.at(op, c.out.from, c.out.to) {
			if f.rule.Write > 0 || f.seen < f.rule.Bytes {
				continue
			}
			f.fire()
			switch op {
			case Reset:
				c.abort()
			case Truncate:
				if c.out.fin == nil {
					c.out.send(finMark, nil)
				}
				c.out.silent = true
				c.wake()
			case Stall:
				f.stalled = c.out
				c.out.stalled = true
				if f.rule.For > 0 {
					f.after(f.rule.For, f.end)
				}
			}
		}
	}
}

// untilFault returns how many of the next k bytes pass before a rule fires.
func (n *Net) untilFault(c *conn, k int) int {
	for _, op := range afterBytes {
		for f := range n.at(op, c.out.from, c.out.to) {
			if f.rule.Write == 0 {
				k = int(min(int64(k), f.rule.Bytes-f.seen))
			}
		}
	}
	return k
}

// carry counts bytes that leave, and flips those that a rule names.
func (n *Net) carry(c *conn, data []byte) {
	size := int64(len(data))
	for _, op := range afterBytes {
		for f := range n.at(op, c.out.from, c.out.to) {
			if f.rule.Write == 0 {
				f.seen += size
			}
		}
	}
	for f := range n.at(Flip, c.out.from, c.out.to) {
		if i := f.rule.Bytes - f.seen - 1; i < size {
			data[i] ^= byte(1 + f.chance.IntN(255))
			f.fire()
		}
		f.seen += size
	}
}

// delay returns how long a segment that leaves now is under way: its turn on
// the slowest rate, and then the way.
func (n *Net) delay(from, to string, size int, now time.Time) time.Duration {
	sent := now
	if size > 0 {
		for f := range n.at(Rate, from, to) {
			f.fired++
			f.busy = laterOf(f.busy, now).Add(time.Duration(float64(size) / float64(f.rule.Bytes) * float64(time.Second)))
			sent = laterOf(sent, f.busy)
		}
	}
	return sent.Sub(now) + n.latency(from, to)
}

// latency returns how long the way is for what leaves now.
func (n *Net) latency(from, to string) (d time.Duration) {
	for f := range n.at(Delay, from, to) {
		f.fired++
		d += f.rule.Delay
		if f.rule.Jitter > 0 {
			d += time.Duration(f.chance.Int64N(int64(f.rule.Jitter) + 1))
		}
	}
	return d
}

// refuses counts a dial and tells whether a rule refuses it.
func (n *Net) refuses(from, to string) (refused bool) {
	for f := range n.at(Refuse, from, to) {
		if f.seen++; f.seen == f.rule.Dial {
			f.fire()
			refused = true
		}
	}
	return refused
}

// isCut tells whether a rule lets nothing through.
func (n *Net) isCut(from, to string) bool {
	for _, op := range [...]Op{Partition, Cut} {
		for range n.at(op, from, to) {
			return true
		}
	}
	return false
}

// countCut books something held back with the rules that hold it.
func (n *Net) countCut(from, to string) {
	for _, op := range [...]Op{Partition, Cut} {
		for f := range n.at(op, from, to) {
			f.fired++
		}
	}
}
