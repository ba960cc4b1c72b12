package lifecycle

import "time"

// Instance is a session as the function lives it: it joins its proxy, serves,
// asks to sleep, and returns. The zero Instance is one that just started.
//
// Every OnInvoked is answered by exactly one DoReturn of its session, and every
// OnNotice that leaves time by exactly one DoLeave. Every
// OnBegan that comes while Accepting is followed by exactly one OnEnded,
// whatever became of the request, its link and its session; the runner throws
// away a request that comes at another time and tells nobody.
type Instance struct {
	phase  InstancePhase
	timers timers
	terms  Terms

	epoch, session uint64 // of the last invocation accepted
	owed           bool   // its return

	link    uint64 // 0 for none
	dialing bool   // a dial is under way
	dialled bool   // this joining or rejoining has dialled before

	start    time.Duration // of the session, on the clock of Step's now
	received uint64        // requests on this link in this session, or since leaving without one
	active   int           // requests that began and have not ended, of any session
	asks     int           // SLEEPs on this link that are not answered
	busy     busy          // the session's requests by quantum

	ends    time.Duration // when the instance is to be gone; 0 before a notice or release
	last    time.Duration // when it goes by itself, a little before that
	spared  bool          // only its proxy wants that, and the process lives on
	crossed bool          // the notice followed a SLEEP that is not answered
}

// Phase is where the instance is.
func (m *Instance) Phase() InstancePhase { return m.phase }

// Session is the number of the last session accepted; 0 before the first.
func (m *Instance) Session() uint64 { return m.session }

// Epoch is the highest epoch seen; 0 before the first.
func (m *Instance) Epoch() uint64 { return m.epoch }

// Link is the number of the current or kept link; 0 for none.
func (m *Instance) Link() uint64 { return m.link }

// Accepting says whether requests may be served. Until the proxy has welcomed
// this session, what arrives was sent to an earlier one: the kernel accepted it
// while the process was frozen.
func (m *Instance) Accepting() bool {
	return m.phase == Serving || m.phase == Asking || m.phase == Leaving
}

// atRest says that no session is under way.
func (m *Instance) atRest() bool { return m.phase == Idle || m.phase == Waiting }

// Forget has an instance in no session take the next one, of whatever epoch and
// number, as its first. It does not take back a notice.
func (m *Instance) Forget() {
	if m.atRest() {
		m.epoch, m.session = 0, 0
	}
}

// asking says that a SLEEP awaits its answer and no request has made it void.
func (m *Instance) asking() bool { return m.timers.isSet(TimerAnswer) }

// Step takes one event and appends what is to be done, in order, to acts.
func (m *Instance) Step(now time.Duration, ev Event, acts []Action) []Action {
	switch ev.Kind {
	case OnBegan:
		return m.began(now, ev.Link, acts)
	case OnEnded:
		return m.ended(now, acts)
	case OnInvoked:
		return m.invoked(now, ev, acts)
	case OnLinkUp:
		return m.linkUp(ev.Link, acts)
	case OnLinkDown:
		return m.linkDown(now, ev.Link, acts)
	case OnCut:
		return m.cut(now, acts)
	case OnNotice:
		return m.noticed(now, ev.Number, acts)
	case OnTick:
		return m.tick(now, ev.Timer, acts)
	}
	// The rest are frames of the current link.
	if m.link == 0 || ev.Link != m.link {
		return acts
	}
	if ev.Kind == OnRefused {
		return m.refused(now, acts)
	}
	if ev.Kind == OnRelease {
		return m.release(now, ev.Number, acts)
	}
	if ev.Session != m.session {
		return acts
	}
	switch ev.Kind {
	case OnWelcome:
		return m.welcome(now, acts)
	case OnPing:
		if m.Accepting() {
			return append(acts, Action{Kind: DoPong, Session: m.session, Link: m.link, Number: ev.Number})
		}
	case OnAsleep:
		return m.asleep(now, acts)
	case OnStay:
		return m.stay(now, said(ev.Number), acts)
	}
	return acts
}

func (m *Instance) invoked(now time.Duration, ev Event, acts []Action) []Action {
	refuse := func(r Reason) []Action {
		return append(acts, Action{Kind: DoReturn, Session: ev.Session, Reason: r})
	}
	switch {
	case ev.Epoch < m.epoch:
		return refuse(StaleEpoch)
	case m.ends != 0 && m.phase != Waiting:
		return refuse(Notice)
	case !m.atRest(), ev.Epoch == m.epoch && ev.Session <= m.session:
		return refuse(Duplicate)
	}
	if ev.Epoch > m.epoch && m.link != 0 {
		acts = m.reset(acts) // it leads to the proxy of an earlier reign
	}
	m.epoch, m.session, m.terms = ev.Epoch, ev.Session, ev.Terms.filled()
	m.phase, m.dialled, m.owed = Joining, false, true
	m.start, m.busy = now, busy{}
	if left := ev.Terms.Left; left != 0 {
		acts = m.limit(now+left-m.terms.Margin, acts)
	}
	acts = m.timers.arm(TimerJoin, now+m.terms.JoinBudget, acts)
	if m.link == 0 {
		return m.dial(acts)
	}
	acts = m.hello(acts)
	return m.timers.arm(TimerWelcome, now+m.terms.WelcomeBudget, acts)
}

func (m *Instance) hello(acts []Action) []Action {
	return append(acts, Action{Kind: DoHello, Session: m.session, Link: m.link})
}

// welcome opens the session on a link: both ends count requests from here.
func (m *Instance) welcome(now time.Duration, acts []Action) []Action {
	if m.phase != Joining && m.phase != Rejoining {
		return acts
	}
	for _, t := range [...]Timer{TimerWelcome, TimerJoin, TimerDial, TimerRedial} {
		acts = m.timers.clear(t, acts)
	}
	m.phase, m.received, m.asks = Serving, 0, 0
	if m.ends != 0 {
		return m.announce(now, acts)
	}
	return m.linger(now, acts)
}

func (m *Instance) began(now time.Duration, link uint64, acts []Action) []Action {
	if !m.Accepting() || link != m.link {
		return acts
	}
	m.received++
	m.active++
	m.busy.came(m.terms.Linger.Quantum, now-m.start)
	// A request that crossed the SLEEP makes that void; the proxy counts it
	// too, and will answer STAY.
	m.serving()
	acts = m.timers.clear(TimerAnswer, acts)
	return m.timers.clear(TimerLinger, acts)
}

func (m *Instance) ended(now time.Duration, acts []Action) []Action {
	if m.active == 0 {
		return acts
	}
	m.active--
	if m.phase == Serving || m.phase == Leaving && !m.asking() {
		return m.linger(now, acts)
	}
	return acts
}

// serving takes back that the instance asks to sleep.
func (m *Instance) serving() {
	m.crossed = false
	if m.phase == Asking {
		m.phase = Serving
	}
}

func (m *Instance) ask(now time.Duration, acts []Action) []Action {
	if m.phase == Serving {
		m.phase = Asking
	}
	m.asks++
	acts = append(acts, Action{Kind: DoAskSleep, Session: m.session, Link: m.link, Number: m.received})
	return m.timers.arm(TimerAnswer, now+m.terms.AnswerBudget, acts)
}

// answered says whether an answer belongs to the last SLEEP. Every SLEEP gets
// one, in order, so the answers of those made void come first.
func (m *Instance) answered() bool {
	m.asks = max(0, m.asks-1)
	return m.asks == 0 && m.asking()
}

func (m *Instance) asleep(now time.Duration, acts []Action) []Action {
	switch {
	case !m.answered():
		return acts
	case m.phase == Leaving:
		return m.released(now, acts)
	}
	return m.finish(now, Slept, acts)
}

func (m *Instance) stay(now, least time.Duration, acts []Action) []Action {
	if !m.answered() {
		return acts
	}
	m.serving()
	acts = m.timers.clear(TimerAnswer, acts)
	return m.lingerFor(now, least, acts)
}

func (m *Instance) tick(now time.Duration, t Timer, acts []Action) []Action {
	due, acts := m.timers.fire(now, t, acts)
	if !due {
		return acts
	}
	switch t {
	case TimerLinger:
		return m.ask(now, acts)
	case TimerWelcome:
		return m.dial(m.reset(acts))
	case TimerDial:
		return m.dial(acts)
	case TimerJoin:
		return m.finish(now, NoProxy, m.reset(acts))
	case TimerAnswer:
		return m.finish(now, NoAnswer, m.reset(acts))
	case TimerRedial:
		return m.finish(now, LinkLost, m.reset(acts))
	case TimerDeadline:
		if m.ends != 0 && now >= m.last {
			return m.end(now, Notice, acts)
		}
		return m.end(now, Deadline, acts)
	}
	return acts
}

// limit has the deadline be at a time, unless it comes before that anyway.
func (m *Instance) limit(at time.Duration, acts []Action) []Action {
	if m.timers.isSet(TimerDeadline) && m.timers.at[TimerDeadline] <= at {
		return acts
	}
	return m.timers.arm(TimerDeadline, at, acts)
}

// cut ends a session whose return nobody waits for any more.
func (m *Instance) cut(now time.Duration, acts []Action) []Action {
	if !m.owed {
		return acts
	}
	return m.end(now, Deadline, acts)
}

// end leaves at once, with a word to the proxy where there is a link.
func (m *Instance) end(now time.Duration, r Reason, acts []Action) []Action {
	if m.link != 0 && m.phase != Idle {
		acts = append(acts, Action{Kind: DoBye, Session: m.session, Link: m.link})
	}
	acts = m.reset(acts)
	if m.phase == Idle {
		return acts
	}
	return m.finish(now, r, acts)
}

// finish returns from the session. The link, if there is one still, is kept for
// the next one. After a notice there is none; if that was the end of it this is the
// last step, and nothing leads out of Idle any more. After a release the next session
// is as the first.
func (m *Instance) finish(now time.Duration, r Reason, acts []Action) []Action {
	if m.ends != 0 {
		acts = m.reset(acts)
	}
	m.phase, m.crossed = Idle, false
	acts = m.giveBack(r, m.timers.clearAll(acts))
	switch {
	case m.spared:
		m.ends, m.spared = 0, false
	case m.ends != 0 && r != Notice:
		return m.await(acts)
	case m.ends != 0:
		acts = append(acts, Action{Kind: DoLeave})
	}
	return acts
}

// giveBack ends the invocation, if there is one.
func (m *Instance) giveBack(r Reason, acts []Action) []Action {
	if !m.owed {
		return acts
	}
	m.owed = false
	return append(acts, Action{Kind: DoReturn, Session: m.session, Reason: r})
}
