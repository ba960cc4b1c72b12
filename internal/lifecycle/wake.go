package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// wake invokes a node that is asleep.
func (n *Node) wake(now time.Duration, acts []Action) []Action {
	if n.succeeded {
		return n.fallAsleep(now, acts)
	}
	if n.failures > 0 && now-n.rested >= n.cfg.WakeBudget {
		n.failures = 0
	}
	return n.invoke(now, acts)
}

// invoke begins a session. It is called only while no invocation is
// outstanding: an instance is free for reuse only after its return, and an
// earlier invoke would make a second, empty one.
func (n *Node) invoke(now time.Duration, acts []Action) []Action {
	n.numbers++
	n.session = n.numbers
	n.cause = n.wantedFor()
	n.outstanding, n.greeted, n.agreed, n.poked = true, false, false, false
	acts = n.timers.clear(TimerWarm, acts)
	acts = append(acts, Action{Kind: DoInvoke, Session: n.session, Cause: n.cause})
	// A wake after a rest goes on with the budget of the first.
	if n.phase != Resting || !n.timers.isSet(TimerWake) {
		acts = n.timers.arm(TimerWake, now+n.cfg.WakeBudget, acts)
	}
	n.phase = Waking
	return acts
}

// returned ends a session: the invocation's return is the authority on that,
// whatever the link says.
func (n *Node) returned(now time.Duration, ev Event, acts []Action) []Action {
	if !n.outstanding || ev.Session != n.session {
		return acts
	}
	n.outstanding, n.kept, n.ended = false, false, now
	acts = n.failSent(wire.CodeUnavailable, acts)
	slept := n.phase == Ending && n.agreed && ev.Class == OK
	if n.greeted && (!slept || n.farewell == withSession) {
		// Without an agreed sleep the two ends do not know of each other what
		// they sent last, so the link is no use to the next session. Nor is one
		// to an instance that has ended.
		acts = n.closeLink(acts)
	}
	acts = n.timers.clear(TimerPing, acts)
	acts = n.timers.clear(TimerUnlink, acts)
	if n.greeted {
		n.holdings.left(n.speaker, n.session)
		acts = append(acts, Action{Kind: NoteSlept, Session: n.session, Cause: n.cause})
		if ev.Class == Gone {
			acts = n.lose(n.speaker, acts)
		}
	}
	if n.farewell != noFarewell && n.link == 0 && !n.stopped {
		acts = n.gone(acts)
	}
	acts = n.judgeAges(now, acts)
	n.phase = Asleep
	switch {
	case n.stopped:
		return acts
	case n.farewell != noFarewell:
		return n.part(now, acts)
	case !n.greeted || ev.Class != OK:
		return n.rest(now, ev.Class, acts)
	}
	n.failures = 0
	if n.wanted() {
		return n.invoke(now, acts)
	}
	return n.fallAsleep(now, acts)
}

// rest follows a failed wake. After MaxWakes of them nobody waits for the next.
func (n *Node) rest(now time.Duration, class Class, acts []Action) []Action {
	n.failures++
	n.barred, n.bar = class.hopeless(), class.code()
	pause := n.cfg.BackoffMax
	if !n.barred {
		pause = n.backoff()
	}
	if n.barred || n.failures >= n.cfg.MaxWakes {
		acts = n.failQueue(n.bar, acts)
		acts = n.timers.clear(TimerWake, acts)
		n.poked = false
	}
	n.phase = Resting
	acts = n.timers.arm(TimerRest, now+pause, acts)
	return n.patience(now, acts)
}

// backoff is BackoffMin doubled with each failure after the first, up to
// BackoffMax, less a random part of up to half.
func (n *Node) backoff() time.Duration {
	d := n.cfg.BackoffMin
	for i := 1; i < n.failures && d < n.cfg.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, n.cfg.BackoffMax)
	return d - time.Duration(n.jitter.Int64N(int64(d)/2+1))
}

func (n *Node) restOver(now time.Duration, acts []Action) []Action {
	n.rested, n.barred = now, false
	if n.wanted() {
		return n.invoke(now, acts)
	}
	return n.fallAsleep(now, acts)
}
