package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// busy counts the requests of one billing quantum of a session, for those that
// stay longer if there are several.
type busy struct {
	quantum  time.Duration // number of the quantum: 0 is the session's first
	requests int
}

// came counts a request that came at, a time since the session's start.
func (b *busy) came(quantum, at time.Duration) {
	if quantum <= 0 {
		return
	}
	if k := at / quantum; k != b.quantum {
		*b = busy{quantum: k}
	}
	b.requests++
}

// in is how many requests came in the quantum that at is in.
func (b busy) in(quantum, at time.Duration) int {
	if quantum <= 0 || at/quantum != b.quantum {
		return 0
	}
	return b.requests
}

// lingerUntil is until when to stay awake if nothing is asked from idle on, while
// so many requests came in the quantum that idle is in. Both times are since the
// session's start, which is where the first quantum begins.
//
// A quantum is paid for once it has begun, so staying in it is free. One in whose
// last margin idle falls is over: returning would end in the next, which is
// therefore the one to stay in. At exactly the margin there is time to return.
func lingerUntil(l wire.Linger, idle time.Duration, requests int) time.Duration {
	if l.Quantum <= 0 {
		return idle + l.Stay
	}
	until := (idle/l.Quantum+1)*l.Quantum - l.Margin
	if until < idle {
		until += l.Quantum
	}
	until += l.Stay / l.Quantum * l.Quantum
	if l.Extra && requests >= 2 {
		until += l.Quantum
	}
	return until
}

// linger waits for another request, if none is being served.
func (m *Instance) linger(now time.Duration, acts []Action) []Action {
	return m.lingerFor(now, 0, acts)
}

// lingerFor is linger, for so long at least. It leaves time to agree on the end
// before a deadline that is not so near already.
func (m *Instance) lingerFor(now, least time.Duration, acts []Action) []Action {
	if m.active > 0 {
		return acts
	}
	until := now + leaveLinger
	if m.phase != Leaving {
		l, idle := m.terms.Linger, now-m.start
		until = m.start + lingerUntil(l, idle, m.busy.in(l.Quantum, idle))
	}
	until = max(until, now+least)
	if m.timers.isSet(TimerDeadline) {
		if last := m.timers.at[TimerDeadline] - m.terms.AnswerBudget; last > now {
			until = min(until, last)
		}
	}
	return m.timers.arm(TimerLinger, until, acts)
}
