package lifecycle

import (
	"time"
)

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
	if in.m.phase == Waiting && s.chance(10) { // it holds nothing
		s.stepInstance(in, Event{Kind: OnNotice})
	}
}

func (s *sim) actInstance(in *simInstance, a Action) {
	var l *simLink
	if a.Link != 0 {
		l = s.links[a.Link]
	}
	toProxy := func(ev Event) {
		ev.Link, ev.Session, ev.Number = a.Link, a.Session, a.Number
		s.frame(l, proxySide, func() { s.stepLink(l, ev) })
	}
	switch a.Kind {
	case DoDial:
		in.dials++
		dial := in.dials
		s.after(s.latency(), func() { in.reach(func() { s.dialled(in, dial) }) })
		if in.m.phase == Rejoining && s.chance(20) {
			s.after(s.between(0, time.Millisecond), func() { s.notice(in) })
		}
	case DoHello:
		toProxy(Event{Kind: OnHello, Instance: in.id})
	case DoAskSleep:
		toProxy(Event{Kind: OnSleep})
		if s.chance(2) {
			s.after(s.between(0, time.Millisecond), func() { s.notice(in) })
		}
	case DoPong:
		toProxy(Event{Kind: OnPong})
	case DoNotice:
		toProxy(Event{Kind: OnNoticed})
	case DoLeave:
		if in.left || !in.noticed || in.m.link != 0 || in.m.timers.set != 0 {
			s.t.Errorf("instance %d leaves: before %v, noticed %v, link %d, timers %b", in.n, in.left, in.noticed, in.m.link, in.m.timers.set)
		}
		in.left = true
		s.after(s.between(0, 3*time.Millisecond), func() { s.exit(in) })
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
