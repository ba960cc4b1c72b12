package lifecycle

import (
	"encoding/binary"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// reach runs what happens inside the process, at its thaw if it is frozen.
func (in *simInstance) reach(do func()) {
	switch {
	case in.dead:
	case in.frozen:
		in.backlog = append(in.backlog, do)
	default:
		do()
	}
}

// thaw gives the process what waited for it, with the invocation somewhere
// among it.
func (s *sim) thaw(in *simInstance, invoked func()) {
	in.frozen = false
	waited := in.backlog
	in.backlog = nil
	at := s.rng.IntN(len(waited) + 1)
	for i, do := range waited {
		if i == at {
			invoked()
		}
		in.reach(do)
	}
	if at == len(waited) {
		invoked()
	}
}

func (s *sim) start() *simInstance {
	in := &simInstance{n: len(s.instances), returns: map[uint64]int{}}
	binary.LittleEndian.PutUint64(in.id[:], uint64(in.n)+1)
	s.instances = append(s.instances, in)
	return in
}

// notice says that a process ends, frozen or not, and then ends it. By then the
// machine must have left.
func (s *sim) notice(in *simInstance) {
	if in.dead || in.noticed {
		return
	}
	in.noticed = true
	grace := s.between(20, 600) * time.Millisecond
	tell := func() { s.stepInstance(in, Event{Kind: OnNotice, Number: uint64(grace.Milliseconds())}) }
	if in.frozen {
		s.thaw(in, tell)
	} else {
		tell()
	}
	if s.chance(10) {
		s.after(s.between(0, grace), func() { in.reach(func() { s.stepInstance(in, Event{Kind: OnNotice}) }) })
	}
	s.after(grace, func() {
		if !in.left && !in.dead {
			s.t.Errorf("instance %d had %v of notice, was %v at its end and had not left", in.n, grace, in.m.phase)
		}
		s.exit(in)
	})
}

// exit ends a process; who waits for its session hears of it.
func (s *sim) exit(in *simInstance) {
	if in.dead {
		return
	}
	s.kill(in)
	if in.main != 0 && in.returns[in.main] == 0 {
		s.answer(in.main, Gone)
	}
}

func (s *sim) kill(in *simInstance) {
	in.dead = true
	for _, l := range s.links[1:] {
		if l.in == in {
			s.tear(l, instanceSide)
		}
	}
}

// invoke is the platform: it fails, thaws an instance or starts one, and now
// and then gives one invocation to two.
func (s *sim) invoke(seat *simSeat, session uint64) {
	if seat.outstanding || s.sessions[session] != nil {
		s.t.Errorf("session %d invoked by seat %d, outstanding %v, taken %v", session, seat.n, seat.outstanding, s.sessions[session] != nil)
	}
	seat.outstanding = true
	s.sessions[session] = seat
	if l := s.links[seat.node.link]; l != nil && s.chance(3) {
		s.notice(l.in) // of all times, now
	}
	if s.chance(12) {
		s.answer(session, []Class{Throttled, NotReady, Unavailable, Missing, Denied, Forbidden}[s.rng.IntN(6)])
		return
	}
	in := s.pick(nil)
	in.main = session
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
	if s.chance(3) {
		s.after(s.between(0, 100*time.Millisecond), func() {
			in.reach(func() { s.stepInstance(in, Event{Kind: OnCut}) })
		})
	}
}

// invoked says that a session was given to the process and has not returned.
func (in *simInstance) invoked() bool {
	for _, n := range in.returns {
		if n == 0 {
			return true
		}
	}
	return false
}

// pick is a frozen instance or a new one. Some of the frozen are reclaimed.
func (s *sim) pick(not *simInstance) *simInstance {
	var idle []*simInstance
	for _, in := range s.instances {
		switch {
		case in.dead || in == not || in.invoked():
		case in.m.phase == Waiting:
			if s.chance(30) { // who invokes knows where it is
				return in
			}
		case !in.frozen:
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
	in.frozen = !in.noticed
	terms := Terms{
		Left: s.between(100*time.Millisecond, 3*time.Second), Linger: s.lingering(),
		JoinBudget: 300 * time.Millisecond, WelcomeBudget: 40 * time.Millisecond,
		AnswerBudget: 60 * time.Millisecond, RedialFor: 150 * time.Millisecond,
	}
	s.after(delay, func() {
		if in.dead {
			s.answer(session, Unavailable)
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
		seat := s.sessions[session]
		if session != seat.node.session || !seat.outstanding {
			return
		}
		seat.outstanding, seat.returned = false, s.now
		s.stepNode(seat, Event{Kind: OnReturned, Session: session, Class: c})
		if seat.node.outstanding == false && seat.node.Cause() != seat.cause {
			s.t.Errorf("session %d is booked to %v, want %v", session, seat.node.Cause(), seat.cause)
		}
	})
}
