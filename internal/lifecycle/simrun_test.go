package lifecycle

import "time"

// wish is one more request, a poke, or another word of the proxy's other parts.
func (s *sim) wish() {
	seat := s.seats[0]
	if s.chance(15) {
		seat = s.seats[1]
	}
	switch {
	case s.chance(3):
		s.stepNode(seat, Event{Kind: OnPoke, Cause: s.cause()})
	case s.chance(2):
		s.stepNode(seat, Event{Kind: OnKeep, Number: 1})
		s.after(s.between(0, 300*time.Millisecond), func() { s.stepNode(seat, Event{Kind: OnKeep}) })
	case s.chance(3):
		s.stepNode(seat, Event{Kind: OnHolds, Number: s.rng.Uint64N(4)})
	}
	if s.chance(1) && len(s.instances) > 0 {
		s.notice(s.instances[s.rng.IntN(len(s.instances))])
	}
	if l := s.links[seat.node.link]; l != nil && s.chance(1) {
		left := uint64(s.between(20, 600))
		s.frame(l, instanceSide, func() { s.stepInstance(l.in, Event{Kind: OnRelease, Link: l.n, Number: left}) })
	}
	s.request(seat)
}

func (s *sim) cause() Cause { return Cause(s.rng.IntN(Causes)) }

// request is one more; some are given up.
func (s *sim) request(seat *simSeat) {
	id := uint64(len(s.requests)) + 1
	r := &simRequest{seat: seat, cause: s.cause()}
	s.requests[id] = r
	s.stepNode(seat, Event{Kind: OnRequest, ID: id, Cause: r.cause})
	if s.chance(12) {
		s.after(s.between(0, 10*time.Millisecond), func() { s.cancel(seat, id) })
	}
}

// cancel gives a request up. One that is on its way is over at once for the
// runner, whatever the node still does about it.
func (s *sim) cancel(seat *simSeat, id uint64) {
	s.stepNode(seat, Event{Kind: OnCancel, ID: id})
	if seat.inFlight[id] {
		s.finish(id, sent)
		s.stepNode(seat, Event{Kind: OnDone})
	}
}

func (s *sim) finish(id uint64, from fate) {
	r := s.requests[id]
	if r.fate != from {
		s.t.Errorf("request %d ended from fate %d, want %d", id, r.fate, from)
	}
	r.fate = over
	delete(r.seat.inFlight, id)
}

// stepLink gives an event of a link to the seat that has it. A hello goes to the
// seat of its session, and the link with it.
func (s *sim) stepLink(l *simLink, ev Event) {
	ev.Link = l.n
	if ev.Kind == OnHello && l.seat != s.sessions[ev.Session] {
		if l.seat != nil {
			s.stepNode(l.seat, Event{Kind: OnLinkLost, Link: l.n})
		}
		l.seat = s.sessions[ev.Session]
	}
	if l.seat != nil {
		s.stepNode(l.seat, ev)
	}
}

// stepNode is the proxy's runner.
func (s *sim) stepNode(seat *simSeat, ev Event) {
	s.steps++
	node := seat.node
	for _, other := range s.seats {
		node.Above(other.node.Session())
	}
	before := node.phase
	acts := node.Step(s.now, ev, nil)
	s.note("seat %d   %v => %v %v", seat.n, ev, node.phase, acts)
	take(s.taken, before, ev, node.phase)
	if before == Asleep && ev.Kind == OnTick && node.phase == Waking {
		s.checkWarmUp(seat)
	}
	if before != Parting && node.phase == Parting {
		s.links[node.link].agreed = false
	}
	for _, a := range acts {
		s.actNode(seat, a)
	}
	if len(seat.inFlight) != node.inFlight {
		s.t.Errorf("%d requests in flight at seat %d, its node counts %d", len(seat.inFlight), seat.n, node.inFlight)
	}
	if node.phase == Parting && (node.link == 0 || node.outstanding) {
		s.t.Errorf("seat %d is parting with link %d, outstanding %v", seat.n, node.link, node.outstanding)
	}
}

func (s *sim) actNode(seat *simSeat, a Action) {
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
		s.checkInvoke(seat, a)
		s.invoke(seat, a.Session)
	case DoSend:
		s.send(seat, l, a.ID)
	case DoFail:
		s.finish(a.ID, waiting)
	case DoFailSent:
		for id := range seat.inFlight {
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
		if len(seat.inFlight) > 0 || len(seat.node.queue) > 0 || seat.node.kept {
			s.t.Errorf("agreed to sleep with %d requests in flight and %d queued, kept %v",
				len(seat.inFlight), len(seat.node.queue), seat.node.kept)
		}
		l.agreed = true
		toInstance(Event{Kind: OnAsleep, Session: a.Session})
	case DoStay:
		toInstance(Event{Kind: OnStay, Session: a.Session, Number: a.Number})
	case DoPing:
		toInstance(Event{Kind: OnPing, Session: a.Session, Number: a.Number})
	case DoCloseLink:
		s.close(l, proxySide)
	case DoSetTimer:
		// Cleared timers tick all the same: the machine must not mind.
		s.after(a.At-s.now+s.between(0, time.Millisecond), func() { s.stepNode(seat, Event{Kind: OnTick, Timer: a.Timer}) })
	case NoteInstance:
		if s.gone[a.Instance] { // one that was released and is invoked again
			delete(s.leaving, a.Instance)
		}
		s.gone[a.Instance] = false
	case NoteUnheard:
		s.checkAbsent(seat, a)
	case NoteLost:
		s.checkAbsent(seat, a)
		s.gone[a.Instance] = true
	case NoteLeaving:
		s.leaving[a.Instance] = true
	case NoteSlept:
		if a.Cause != seat.cause {
			s.t.Errorf("session %d slept booked to %v, want %v", a.Session, a.Cause, seat.cause)
		}
	}
}

// checkInvoke looks at what a session is invoked for.
func (s *sim) checkInvoke(seat *simSeat, a Action) {
	seat.cause = a.Cause
	for id, r := range s.requests {
		if r.seat == seat && r.fate == waiting && r.cause < a.Cause {
			s.t.Errorf("invoked for %v while request %d waits for %v", a.Cause, id, r.cause)
		}
	}
}

// checkWarmUp looks at a wake that nobody asked for.
func (s *sim) checkWarmUp(seat *simSeat) {
	if seat.node.held == 0 || s.now-seat.returned < simWarmEvery/2 || s.now-seat.warmed < simWarmEvery-time.Millisecond {
		s.t.Errorf("seat %d is warmed holding %d, %v after its last session and %v after its last warm-up",
			seat.n, seat.node.held, s.now-seat.returned, s.now-seat.warmed)
	}
	seat.warmed = s.now
}

// checkAbsent looks at an instance that is said to be passed over or gone: it
// must not be serving at the other seat.
func (s *sim) checkAbsent(seat *simSeat, a Action) {
	for _, other := range s.seats {
		n := other.node
		if other != seat && n.speaker == a.Instance && (n.phase == Awake || n.phase == Checking || n.phase == Unlinked || n.phase == Parting) {
			s.t.Errorf("seat %d says %v, which is %v at seat %d", seat.n, a, n.phase, other.n)
		}
	}
}

func (s *sim) send(seat *simSeat, l *simLink, id uint64) {
	r := s.requests[id]
	session, parting := seat.node.greeting, seat.node.phase == Parting
	if !parting {
		seat.cause = min(seat.cause, r.cause)
	}
	switch {
	case r.fate != waiting:
		s.t.Errorf("request %d sent in fate %d", id, r.fate)
	case s.gone[l.in.id]:
		s.t.Errorf("request %d sent to instance %d, which is lost", id, l.in.n)
	case l.closed[proxySide], l.welcomed != session, l.agreed, l.in.slept == session && !parting, session != seat.node.session && !parting:
		s.t.Errorf("request %d sent on link %d: closed %v, welcomed session %d of %d, sleep agreed %v, asleep since session %d",
			id, l.n, l.closed[proxySide], l.welcomed, session, l.agreed, l.in.slept)
	}
	r.fate = sent
	seat.inFlight[id] = true
	in := l.in
	s.frame(l, instanceSide, func() {
		if in.slept == session && in.m.phase != Leaving || in.m.session == session && in.m.phase == Joining {
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
					s.stepLink(l, Event{Kind: OnHeard})
					if seat.inFlight[id] {
						s.finish(id, sent)
						s.stepNode(seat, Event{Kind: OnDone})
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
