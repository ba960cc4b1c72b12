package lifecycle

import "time"

func (m *Instance) dial(acts []Action) []Action {
	m.dialing, m.dialled = true, true
	return append(acts, Action{Kind: DoDial})
}

// reset closes the link or gives up the dial, whichever there is.
func (m *Instance) reset(acts []Action) []Action {
	if m.link == 0 && !m.dialing {
		return acts
	}
	acts = append(acts, Action{Kind: DoReset, Link: m.link})
	m.link, m.dialing = 0, false
	return acts
}

// linkUp takes a new link into use. One that comes when none is awaited, from a
// dial that was given up too late, is closed.
func (m *Instance) linkUp(link uint64, acts []Action) []Action {
	if link == 0 {
		return acts
	}
	if !m.dialing || m.link != 0 {
		return append(acts, Action{Kind: DoReset, Link: link})
	}
	m.link, m.dialing = link, false
	return m.hello(acts)
}

// linkDown dials again while a session runs: at once for the first time, then
// after a pause. In Idle it is only remembered, for the next session to dial.
func (m *Instance) linkDown(now time.Duration, link uint64, acts []Action) []Action {
	if link != m.link || link == 0 && !m.dialing {
		return acts
	}
	m.link, m.dialing = 0, false
	switch m.phase {
	case Idle:
		return acts
	case Leaving:
		return m.finish(now, LinkLost, acts)
	case Serving, Asking:
		m.phase, m.dialled = Rejoining, false
		acts = m.timers.clear(TimerLinger, acts)
		acts = m.timers.clear(TimerAnswer, acts)
		acts = m.timers.arm(TimerRedial, now+m.terms.RedialFor, acts)
	case Joining:
		acts = m.timers.clear(TimerWelcome, acts)
	}
	if !m.dialled {
		return m.dial(acts)
	}
	return m.timers.arm(TimerDial, now+dialPause, acts)
}

func (m *Instance) refused(now time.Duration, acts []Action) []Action {
	if m.phase != Joining && m.phase != Rejoining {
		return acts
	}
	return m.finish(now, Refused, m.reset(acts))
}
