package lifecycle

import (
	"math/bits"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// WarmPhase spreads the warm-ups of a pool's nodes over the time between two of
// one node: it is node times the golden ratio, of which the fraction counts, so
// that any number of nodes from 0 on lies evenly and a new one falls into the
// largest gap (Knuth, The Art of Computer Programming, vol. 3, 6.4). It is in
// [0, every); every must not be negative.
func WarmPhase(node uint32, every time.Duration) time.Duration {
	const golden = 0x9E3779B97F4A7C15 // 2^64 by the golden ratio
	phase, _ := bits.Mul64(uint64(every), uint64(node)*golden)
	return time.Duration(phase)
}

// fallAsleep is the way into Asleep.
func (n *Node) fallAsleep(now time.Duration, acts []Action) []Action {
	n.phase = Asleep
	if n.succeeded {
		n.poked = false
		acts = n.failQueue(wire.CodeUnavailable, acts)
	}
	return n.armWarm(now, n.timers.clear(TimerWake, acts))
}

// holds notes how many bytes worth keeping the node holds.
func (n *Node) holds(now time.Duration, bytes uint64, acts []Action) []Action {
	if n.held == 0 && bytes > 0 {
		n.served = now
	}
	n.held = bytes
	switch {
	case n.phase != Asleep:
		return acts
	case n.held == 0:
		return n.timers.clear(TimerWarm, acts)
	case n.timers.isSet(TimerWarm):
		return acts
	}
	return n.armWarm(now, acts)
}

// cold says that a warm-up would keep nothing that is wanted.
func (n *Node) cold(now time.Duration) bool {
	return n.held == 0 || now-n.served >= n.cfg.WarmFor
}

// armWarm sets the node's next warm-up. One that is cold has none until it next
// falls asleep.
func (n *Node) armWarm(now time.Duration, acts []Action) []Action {
	if n.cfg.WarmEvery == 0 || n.stopped || n.cold(now) {
		return acts
	}
	past := (now - n.cfg.WarmPhase) % n.cfg.WarmEvery
	if past < 0 {
		past += n.cfg.WarmEvery
	}
	return n.timers.arm(TimerWarm, now-past+n.cfg.WarmEvery, acts)
}

// warmUp wakes the node to keep its instance, unless it was awake lately.
func (n *Node) warmUp(now time.Duration, acts []Action) []Action {
	switch {
	case n.cold(now):
		return acts
	case now-n.ended < n.cfg.WarmEvery/2:
		return n.armWarm(now, acts)
	}
	n.want(WarmUp)
	return n.wake(now, acts)
}
