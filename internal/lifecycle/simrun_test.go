package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// request is one more; some are given up.
func (s *sim) request() {
	if s.chance(3) {
		s.stepNode(Event{Kind: OnPoke})
	}
	id := uint64(len(s.requests)) + 1
	s.requests[id] = waiting
	s.stepNode(Event{Kind: OnRequest, ID: id})
	if s.chance(12) {
		s.after(s.between(0, 10*time.Millisecond), func() { s.cancel(id) })
	}
}

// cancel gives a request up. One that is on its way is over at once for the
// runner, whatever the node still does about it.
func (s *sim) cancel(id uint64) {
	s.stepNode(Event{Kind: OnCancel, ID: id})
	if s.inFlight[id] {
		s.finish(id, sent)
		s.stepNode(Event{Kind: OnDone})
	}
}

func (s *sim) finish(id uint64, from fate) {
	if s.requests[id] != from {
		s.t.Errorf("request %d ended from fate %d, want %d", id, s.requests[id], from)
	}
	s.requests[id] = over
	delete(s.inFlight, id)
}

// stepNode is the proxy's runner.
func (s *sim) stepNode(ev Event) {
	s.steps++
	before := s.node.phase
	acts := s.node.Step(s.now, ev, nil)
	s.note("proxy    %v => %v %v", ev, s.node.phase, acts)
	take(s.taken, before, ev, s.node.phase)
	for _, a := range acts {
		s.actNode(a)
	}
	if len(s.inFlight) != s.node.inFlight {
		s.t.Errorf("%d requests in flight, the node counts %d", len(s.inFlight), s.node.inFlight)
	}
}

func (s *sim) actNode(a Action) {
	var l *simLink
	if a.Link != 0 {
		l = s.links[a.Link]
	}
	toInstance := func(ev Event) {
		ev.Link = a.Link
		s.frame(l, instanceSide, func() { s.stepInstance(l.in, ev) })
	}
	switch a.Kind {
	case DoInvoke:
		s.invoke(a.Session)
	case DoSend:
		s.send(l, a.ID)
	case DoFail:
		s.finish(a.ID, waiting)
	case DoFailSent:
		for id := range s.inFlight {
			s.finish(id, sent)
		}
	case DoWelcome:
		for _, other := range s.links[1:] {
			if other.welcomed == a.Session && other.in != l.in {
				s.t.Errorf("instances %d and %d both welcomed to session %d", other.in.n, l.in.n, a.Session)
			}
		}
		l.welcomed, l.agreed = a.Session, false
		toInstance(Event{Kind: OnWelcome, Session: a.Session})
		if s.chance(15) {
			s.after(s.between(0, 200*time.Millisecond), func() { s.tear(l, -1) })
		}
	case DoRefuse:
		toInstance(Event{Kind: OnRefused, Code: a.Code})
		s.close(l, proxySide)
	case DoAgreeSleep:
		if len(s.inFlight) > 0 || len(s.node.queue) > 0 {
			s.t.Errorf("agreed to sleep with %d requests in flight and %d queued", len(s.inFlight), len(s.node.queue))
		}
		l.agreed = true
		toInstance(Event{Kind: OnAsleep, Session: a.Session})
	case DoStay:
		toInstance(Event{Kind: OnStay, Session: a.Session})
	case DoPing:
		toInstance(Event{Kind: OnPing, Session: a.Session, Number: a.Number})
	case DoCloseLink:
		s.close(l, proxySide)
	case DoSetTimer:
		// Cleared timers tick all the same: the machine must not mind.
		s.after(a.At-s.now+s.between(0, time.Millisecond), func() { s.stepNode(Event{Kind: OnTick, Timer: a.Timer}) })
	}
}

func (s *sim) send(l *simLink, id uint64) {
	session := s.node.session
	switch {
	case s.requests[id] != waiting:
		s.t.Errorf("request %d sent in fate %d", id, s.requests[id])
	case l.closed[proxySide], l.welcomed != session, l.agreed, l.in.slept == session:
		s.t.Errorf("request %d sent on link %d: closed %v, welcomed session %d of %d, sleep agreed %v, asleep since session %d",
			id, l.n, l.closed[proxySide], l.welcomed, session, l.agreed, l.in.slept)
	}
	s.requests[id] = sent
	s.inFlight[id] = true
	in := l.in
	s.frame(l, instanceSide, func() {
		if in.slept == session || in.m.session == session && in.m.phase == Joining {
			s.t.Errorf("request %d reached instance %d %v in session %d, slept in %d", id, in.n, in.m.phase, session, in.slept)
		}
		if !in.m.Accepting() || in.m.session != session {
			return
		}
		s.stepInstance(in, Event{Kind: OnBegan, Link: l.n})
		s.after(s.serving(), func() {
			in.reach(func() {
				s.stepInstance(in, Event{Kind: OnEnded})
				s.frame(l, proxySide, func() {
					s.stepNode(Event{Kind: OnHeard, Link: l.n})
					if s.inFlight[id] {
						s.finish(id, sent)
						s.stepNode(Event{Kind: OnDone})
					}
				})
			})
		})
	})
}

func (s *sim) serving() time.Duration {
	if s.chance(3) {
		return s.between(0, 600*time.Millisecond)
	}
	return s.between(0, 10*time.Millisecond)
}

// stepInstance is the runner inside the function.
func (s *sim) stepInstance(in *simInstance, ev Event) {
	s.steps++
	before := in.m.phase
	acts := in.m.Step(s.now, ev, nil)
	s.note("instance %d %v => %v %v", in.n, ev, in.m.phase, acts)
	take(s.taken, before, ev, in.m.phase)
	for _, a := range acts {
		s.actInstance(in, a)
	}
}

func (s *sim) actInstance(in *simInstance, a Action) {
	var l *simLink
	if a.Link != 0 {
		l = s.links[a.Link]
	}
	toProxy := func(ev Event) {
		ev.Link, ev.Session, ev.Number = a.Link, a.Session, a.Number
		s.frame(l, proxySide, func() { s.stepNode(ev) })
	}
	switch a.Kind {
	case DoDial:
		in.dials++
		dial := in.dials
		s.after(s.latency(), func() { in.reach(func() { s.dialled(in, dial) }) })
	case DoHello:
		toProxy(Event{Kind: OnHello, Instance: in.id})
	case DoAskSleep:
		toProxy(Event{Kind: OnSleep})
	case DoPong:
		toProxy(Event{Kind: OnPong})
	case DoBye:
		toProxy(Event{Kind: OnBye})
	case DoReset:
		if l == nil {
			in.dials++
			return
		}
		s.close(l, instanceSide)
	case DoReturn:
		s.sessionOver(in, a.Session, a.Reason)
	case DoSetTimer:
		s.after(a.At-s.now+s.between(0, time.Millisecond), func() {
			in.reach(func() { s.stepInstance(in, Event{Kind: OnTick, Timer: a.Timer}) })
		})
	}
}

// dialled ends a dial. One that was given up may still come through.
func (s *sim) dialled(in *simInstance, dial int) {
	if dial != in.dials && s.chance(50) {
		return
	}
	if dial == in.dials && s.chance(10) {
		s.stepInstance(in, Event{Kind: OnLinkDown})
		return
	}
	l := &simLink{n: uint64(len(s.links)), in: in}
	s.links = append(s.links, l)
	if s.chance(5) {
		s.after(s.between(0, 5*time.Millisecond), func() { s.tear(l, -1) })
	}
	s.stepInstance(in, Event{Kind: OnLinkUp, Link: l.n})
}

// invoke is the platform: it fails, thaws an instance or starts one, and now
// and then gives one invocation to two.
func (s *sim) invoke(session uint64) {
	if s.outstanding {
		s.t.Errorf("session %d invoked while another is outstanding", session)
	}
	s.outstanding = true
	if s.chance(12) {
		s.answer(session, []Class{Throttled, NotReady, Unavailable, Missing, Denied}[s.rng.IntN(5)])
		return
	}
	in := s.pick(nil)
	s.give(in, session)
	if s.chance(2) {
		s.give(s.pick(in), session)
	}
	if s.chance(2) {
		// The platform's answer is lost while the instance runs.
		s.after(s.between(0, 100*time.Millisecond), func() { s.answer(session, Unavailable) })
	}
	if s.chance(4) {
		s.after(s.between(0, 100*time.Millisecond), func() {
			if in.returns[session] == 0 && !in.dead {
				s.kill(in)
				s.answer(session, Gone)
			}
		})
	}
	if s.chance(3) {
		s.after(s.between(0, 100*time.Millisecond), func() {
			in.reach(func() { s.stepInstance(in, Event{Kind: OnNotice}) })
		})
	}
}

// pick is a frozen instance or a new one. Some of the frozen are reclaimed.
func (s *sim) pick(not *simInstance) *simInstance {
	var idle []*simInstance
	for _, in := range s.instances {
		switch {
		case in.dead || !in.frozen || in == not:
		case s.chance(3):
			s.kill(in)
		default:
			idle = append(idle, in)
		}
	}
	if len(idle) == 0 || s.chance(3) {
		return s.start()
	}
	return idle[s.rng.IntN(len(idle))]
}

func (s *sim) give(in *simInstance, session uint64) {
	in.returns[session] = 0
	delay := s.latency()
	if len(in.backlog) == 0 && in.m.session == 0 {
		delay += s.between(0, 30*time.Millisecond)
	}
	in.frozen = true
	terms := Terms{
		Left: s.between(100*time.Millisecond, 3*time.Second), Linger: s.lingering(),
		JoinBudget: 300 * time.Millisecond, WelcomeBudget: 40 * time.Millisecond,
		AnswerBudget: 60 * time.Millisecond, RedialFor: 150 * time.Millisecond,
	}
	s.after(delay, func() {
		if in.dead {
			return
		}
		s.thaw(in, func() {
			s.stepInstance(in, Event{Kind: OnInvoked, Session: session, Epoch: 1, Terms: terms})
		})
	})
}

// lingering is a time, or a quantum to mind.
func (s *sim) lingering() wire.Linger {
	l := wire.Linger{Stay: s.between(1, 120*time.Millisecond)}
	if s.chance(50) {
		return l
	}
	l.Quantum = s.between(time.Millisecond, 100*time.Millisecond)
	l.Margin = s.between(0, l.Quantum-1)
	l.Extra = s.chance(50)
	return l
}

// sessionOver is an instance's return: the caller hears of it, and the process
// freezes, a little later, in either order.
func (s *sim) sessionOver(in *simInstance, session uint64, r Reason) {
	in.returns[session]++
	if in.returns[session] > 1 {
		s.t.Errorf("instance %d returned session %d twice", in.n, session)
	}
	if r == Slept {
		in.slept = session
	}
	s.answer(session, OK)
	s.after(s.between(0, 3*time.Millisecond), func() {
		if in.m.phase == Idle {
			in.frozen = true
		}
	})
}

// answer is the end of an invocation, as the caller hears it: only once.
func (s *sim) answer(session uint64, c Class) {
	s.after(s.between(0, 3*time.Millisecond), func() {
		if session != s.node.session || !s.outstanding {
			return
		}
		s.outstanding = false
		s.stepNode(Event{Kind: OnReturned, Session: session, Class: c})
	})
}
