package pool

import (
	"context"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// seat runs a lifecycle machine of a node: it feeds it events and carries its
// orders out. Orders are carried out under the node's mutex, so that they take
// effect in the machine's order; none of them blocks.
type seat struct {
	n       *node
	machine *lifecycle.Node
	timers  map[lifecycle.Timer]*time.Timer
	link    *nodeLink            // newest welcomed link; nil when there is none
	links   map[uint64]*nodeLink // every link that said a good hello
	queued  map[uint64]*Call     // calls that wait to be sent
	current *instance            // the one that spoke last; nil before the first
	hello   *wire.Hello          // being judged by the machine

	giveUp  context.CancelCauseFunc // of the invocation under way, or the last one; nil before
	failed  bool                    // the last session did not end well
	keepers int                     // that want it to stay awake

	freeing freeing
	// arrived is called once, with the mutex held, when an instance is welcome
	// here or the session ends without one.
	arrived []func() []func()
}

func newSeat(n *node, m *lifecycle.Node) *seat {
	return &seat{
		n: n, machine: m,
		timers: map[lifecycle.Timer]*time.Timer{},
		links:  map[uint64]*nodeLink{},
		queued: map[uint64]*Call{},
	}
}

// awake tells whether requests reach the current instance at once.
func (s *seat) awake() bool {
	switch s.machine.Phase() {
	case lifecycle.Awake, lifecycle.Checking, lifecycle.Parting:
		return s.link != nil
	}
	return false
}

// serving tells whether the current instance takes requests at once, without a
// preflight.
func (s *seat) serving() bool {
	p := s.machine.Phase()
	return p == lifecycle.Awake || p == lifecycle.Parting
}

// lateAfter is how long a link on which requests wait may be silent before readers
// prefer other nodes: long before it is given up.
const lateAfter = 20 * time.Millisecond

// slowFor is how long readers prefer other nodes to one that was slow. Each time that
// it is over, reads find out anew, at the price of hedges, and those are few.
const slowFor = 10 * time.Second

// late tells whether readers had better ask other nodes: it owes an answer and has said
// nothing for a while, or it was slow.
func (s *seat) late() bool {
	l := s.link
	switch {
	case l == nil:
		return false
	case time.Since(l.slow) < slowFor:
		return true
	}
	return len(l.calls) > 0 && min(l.conn.Silent(), time.Since(l.busy)) > lateAfter
}

// begin hands a new call to the machine. The mutex is held.
func (s *seat) begin(c *Call) []func() {
	if c.n == nil {
		c.n = s.n
	}
	c.s = s
	c.id = s.n.pool.calls.Add(1)
	s.queued[c.id] = c
	after := s.hear(nil)
	return s.stepLocked(lifecycle.Event{Kind: lifecycle.OnRequest, ID: c.id, Cause: c.cause}, after)
}

// fresh is how lately a link must have been heard to be reported as heard now.
const fresh = 200 * time.Millisecond

// hear tells the machine that the link was heard lately. The link notes that
// without the mutex, and the machine is told only when it matters.
func (s *seat) hear(after []func()) []func() {
	if s.link == nil || s.link.conn.Silent() > fresh {
		return after
	}
	return s.stepLocked(lifecycle.Event{Kind: lifecycle.OnHeard, Link: s.link.number}, after)
}

// keep has what session there is, or comes next, not end before unkeep, as far as
// that is the proxy's to say.
func (s *seat) keep(after []func()) []func() {
	s.keepers++
	return s.stepLocked(lifecycle.Event{Kind: lifecycle.OnKeep, Number: 1}, after)
}

func (s *seat) unkeep(after []func()) []func() {
	if s.keepers--; s.keepers > 0 {
		return after
	}
	return s.stepLocked(lifecycle.Event{Kind: lifecycle.OnKeep}, after)
}

func (s *seat) step(ev lifecycle.Event) {
	s.n.mu.Lock()
	after := s.stepLocked(ev, nil)
	s.n.mu.Unlock()
	run(after)
}

func (s *seat) stepLocked(ev lifecycle.Event, after []func()) []func() {
	var space [8]lifecycle.Action
	s.machine.Above(s.n.sessions)
	for _, a := range s.machine.Step(s.n.pool.now(), ev, space[:0]) {
		after = s.do(a, after)
	}
	if s.keepers > 0 { // the machine keeps a node for one session
		s.machine.Step(s.n.pool.now(), lifecycle.Event{Kind: lifecycle.OnKeep, Number: 1}, nil)
	}
	return after
}

// arrive tells those who wait for an instance at the seat.
func (s *seat) arrive(after []func()) []func() {
	waiting := s.arrived
	s.arrived = nil
	for _, f := range waiting {
		after = append(after, f()...)
	}
	return after
}

// do carries out one order of the machine.
func (s *seat) do(a lifecycle.Action, after []func()) []func() {
	n := s.n
	switch a.Kind {
	case lifecycle.DoInvoke:
		n.sessions = a.Session
		s.invoke(a.Session, a.Cause)
	case lifecycle.DoSend:
		if c := s.queued[a.ID]; c != nil {
			delete(s.queued, a.ID)
			after = s.send(c, after)
		}
	case lifecycle.DoFail:
		if c := s.queued[a.ID]; c != nil {
			after = s.drop(c, a.Code, after)
		}
	case lifecycle.DoFailSent:
		if l := s.links[a.Link]; l != nil {
			after = s.failSent(l, a.Code, after)
		}
	case lifecycle.NoteUnheard:
		n.pool.log.Debug("instance unheard", "node", n.id, "instance", a.Instance)
	case lifecycle.NoteLeaving:
		if i := n.withID(a.Instance); i != nil {
			i.leaving = true
			after = s.makeWay(after)
			if f := n.pool.cfg.OnLeaving; f != nil {
				left := time.Duration(a.Number) * time.Millisecond
				after = append(after, func() { f(n.id, a.Instance, left) })
			}
		}
	case lifecycle.NoteLost:
		after = append(after, n.forget(a.Instance)...)
	case lifecycle.DoWelcome:
		after = s.welcome(a, after)
	case lifecycle.DoRefuse:
		if l := s.links[a.Link]; l != nil {
			_ = l.conn.Send(wire.TypeDone, a.Code, 0, &wire.Done{Detail: "hello refused"})
			l.conn.Finish(a.Code)
		}
	case lifecycle.DoAgreeSleep:
		s.answer(a.Link, wire.TypeAsleep, 0)
	case lifecycle.DoStay:
		s.answer(a.Link, wire.TypeStay, a.Number)
	case lifecycle.DoPing:
		if s.link != nil {
			s.answer(s.link.number, wire.TypePing, a.Number)
		}
	case lifecycle.DoCloseLink:
		if l := s.links[a.Link]; l != nil {
			l.conn.Close(wire.Errorf(wire.CodeTimeout, "node %d is not trusted any more", n.id))
			if s.link == l {
				s.link = nil
			}
		}
	case lifecycle.DoSetTimer:
		s.setTimer(a.Timer, a.At)
	case lifecycle.DoClearTimer:
		if t := s.timers[a.Timer]; t != nil {
			t.Stop()
		}
	}
	return after
}

func (s *seat) setTimer(which lifecycle.Timer, at time.Duration) {
	in := max(0, at-s.n.pool.now())
	if t := s.timers[which]; t != nil {
		t.Reset(in)
		return
	}
	s.timers[which] = time.AfterFunc(in, func() {
		s.n.mu.Lock()
		after := s.hear(nil)
		after = s.stepLocked(lifecycle.Event{Kind: lifecycle.OnTick, Timer: which}, after)
		s.n.mu.Unlock()
		run(after)
	})
}

func (s *seat) answer(number uint64, t wire.Type, value uint64) {
	if l := s.links[number]; l != nil {
		_ = l.conn.Send(t, wire.CodeOK, 0, &wire.Session{Epoch: s.n.pool.cfg.Epoch, Session: l.session, Number: value})
	}
}

// welcome makes a link the seat's link. What must reach the node before its
// queue, because it makes room there, goes first.
func (s *seat) welcome(a lifecycle.Action, after []func()) []func() {
	l := s.links[a.Link]
	if l == nil || s.hello == nil {
		return after
	}
	number := uint64(0)
	drop, heard := s.speaks(s.hello)
	if drop {
		number = 1
		s.n.pool.log.Info("instance holds chunks of which nothing is known", "node", s.n.id,
			"instance", s.hello.Instance, "chunks", s.hello.Chunks, "bytes", s.hello.Used)
	}
	for _, old := range s.links {
		if old != l && old.instance == s.current {
			old.conn.Close(wire.Errorf(wire.CodeClosed, "the instance dialled again"))
		}
	}
	s.link = l
	l.session = a.Session
	l.instance = s.current
	s.answer(a.Link, wire.TypeWelcome, number)
	after = append(append(after, s.sendFrees()...), heard...)
	if s == s.n.ordinary() {
		after = s.n.warmBoth(after)
	}
	return s.arrive(after)
}

// send puts a call on the link.
func (s *seat) send(c *Call, after []func()) []func() {
	l := s.link
	if l == nil {
		// The link has just ended, and the machine hears of it next.
		return s.drop(c, wire.ErrClosed, after)
	}
	l.stream++
	c.link, c.stream = l, l.stream
	if len(l.calls) == 0 {
		l.busy = time.Now()
	}
	l.calls[c.stream] = c
	fence := wire.Fence{Epoch: s.n.pool.cfg.Epoch, Session: l.session}
	if c.only != nil && c.only != l.instance {
		// Counted, so something must be sent.
		c.kind = callNothing
	}
	if c.kind != callFetch && c.kind != callStore {
		c.owed = time.Now()
	}
	switch c.kind {
	case callFetch:
		c.sent = time.Now()
		_ = l.conn.Send(wire.TypeFetch, 0, c.stream, &wire.Fetch{Fence: fence, Chunk: c.chunk, From: c.from, To: c.to, Credit: c.credit})
	case callStore:
		c.exhumed = l.instance.exhume(c.chunk) // the instance replaces it
		if landed := l.instance.landed; landed != nil && catalog.EpochOf(c.chunk.Version) != fence.Epoch {
			landed[c.chunk] = struct{}{}
		}
		_ = l.conn.Send(wire.TypeStore, 0, c.stream, &wire.Store{Fence: fence, Chunk: c.chunk, Size: c.size, Record: c.record})
		for _, w := range c.wait {
			c.sendBlock(w.b, w.body, w.owner)
		}
		c.wait = nil
	case callFree:
		_ = l.conn.Send(wire.TypeFree, 0, c.stream, &wire.Free{Fence: fence, Chunks: s.named(c, l.instance)})
	case callNothing:
		_ = l.conn.Send(wire.TypeFree, 0, c.stream, &wire.Free{Fence: fence, Chunks: []wire.Chunk{nothing}})
	case callList:
		_ = l.conn.Send(wire.TypeList, 0, c.stream, &wire.List{Fence: fence, After: c.listAfter})
	}
	return after
}

// failSent ends every call that is in flight on a link.
func (s *seat) failSent(l *nodeLink, code wire.Code, after []func()) []func() {
	streams := make([]uint32, 0, len(l.calls))
	for stream := range l.calls {
		streams = append(streams, stream)
	}
	slices.Sort(streams)
	for _, stream := range streams {
		after = s.broken(l, l.calls[stream], code, after)
	}
	return after
}

// unlink forgets a link that ended.
func (s *seat) unlink(l *nodeLink, err error) {
	s.n.mu.Lock()
	delete(s.links, l.number)
	if s.link == l {
		s.link = nil
	}
	after := s.stepLocked(lifecycle.Event{Kind: lifecycle.OnLinkLost, Link: l.number}, nil)
	after = s.failSent(l, wire.CodeClosed, after)
	s.n.mu.Unlock()
	s.n.pool.log.Debug("link ended", "node", s.n.id, "link", l.number, "err", err)
	run(after)
}
