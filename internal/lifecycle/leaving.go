package lifecycle

import "time"

// leaveLinger is how long an instance that leaves waits for a request, after it
// said so and after each.
const leaveLinger = 100 * time.Millisecond

// noticed takes the platform's word that it ends the instance in so many
// milliseconds. Zero leaves no time for anything but a bye.
func (m *Instance) noticed(now time.Duration, milliseconds uint64, acts []Action) []Action {
	switch {
	case milliseconds == 0:
		return m.end(now, Notice, acts)
	case m.ends != 0 && !m.spared:
		return acts
	}
	m.spared = false
	return m.depart(now, said(milliseconds), acts)
}

// release takes the proxy's word that another instance stands ready in this one's
// place. It leaves as after a notice, but may be invoked again then: should the
// platform have no other instance after all, a node that refused for good would be
// lost to its pool for as long as the process lives.
func (m *Instance) release(now time.Duration, milliseconds uint64, acts []Action) []Action {
	if milliseconds == 0 || m.ends != 0 {
		return acts
	}
	m.spared = true
	return m.depart(now, said(milliseconds), acts)
}

// depart has the instance be gone when so much time is over, or sooner if it was to
// be gone before.
func (m *Instance) depart(now, left time.Duration, acts []Action) []Action {
	if m.ends == 0 || now+left < m.ends {
		m.ends = now + left
		m.last = m.ends - min(left/10, leaveLinger)
	}
	if m.phase == Idle && m.link == 0 {
		return m.await(acts)
	}
	acts = m.limit(m.last, acts)
	switch m.phase {
	case Idle:
		m.received, m.asks = 0, 0
		return m.announce(now, acts)
	case Serving, Asking:
		return m.announce(now, acts)
	}
	return acts // at the welcome
}

// await waits for a proxy while there is time: the one that the instance had may be
// ending together with it, and another be on its way.
func (m *Instance) await(acts []Action) []Action {
	m.phase = Waiting
	return m.timers.arm(TimerDeadline, m.last, acts)
}

// announce tells the proxy how much time is left. An agreement to a SLEEP that
// is on its way says nothing about that yet.
func (m *Instance) announce(now time.Duration, acts []Action) []Action {
	m.phase, m.crossed = Leaving, m.asking()
	left := max(1, (m.ends-now)/time.Millisecond)
	acts = append(acts, Action{Kind: DoNotice, Session: m.session, Link: m.link, Number: uint64(left)})
	if m.crossed {
		return acts
	}
	return m.linger(now, acts)
}

// released ends the session of an instance that leaves, by the agreement to a
// SLEEP. If the proxy agreed before it knew of the notice, it takes its requests
// to the link when it sees the session return, and counts them from there.
func (m *Instance) released(now time.Duration, acts []Action) []Action {
	if !m.crossed {
		return m.finish(now, Notice, acts)
	}
	m.crossed, m.received = false, 0
	acts = m.timers.clear(TimerAnswer, acts)
	return m.linger(now, m.giveBack(Slept, acts))
}
