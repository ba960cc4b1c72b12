package pool

import (
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// node runs the lifecycle machine of one place: it feeds it events and carries
// its orders out. Orders are carried out under the mutex, so that they take
// effect in the machine's order; none of them blocks. What calls back to the
// outside is collected and called after the mutex is released.
type node struct {
	pool *Pool
	id   uint32

	mu        sync.Mutex
	machine   *lifecycle.Node
	timers    map[lifecycle.Timer]*time.Timer
	link      *nodeLink            // newest welcomed link; nil when there is none
	links     map[uint64]*nodeLink // every link that said a good hello
	queued    map[uint64]*Call     // calls that wait to be sent
	current   *instance            // the one that spoke last; nil before the first
	instances []*instance          // that may hold something
	reserved  int64                // bytes promised to stores not yet answered
	hello     *wire.Hello          // being judged by the machine

	freeing freeing

	meter meter
}

func newNode(p *Pool, id uint32) (*node, error) {
	cfg := p.cfg.Lifecycle
	cfg.FirstSession = 1
	cfg.Seed = p.cfg.Seed + uint64(id)
	m, err := lifecycle.NewNode(cfg)
	if err != nil {
		return nil, err
	}
	return &node{
		pool: p, id: id, machine: m,
		timers: map[lifecycle.Timer]*time.Timer{},
		links:  map[uint64]*nodeLink{},
		queued: map[uint64]*Call{},
	}, nil
}

// begin hands a new call to the machine. The mutex is held.
func (n *node) begin(c *Call) []func() {
	c.id = n.pool.calls.Add(1)
	n.queued[c.id] = c
	after := n.hear(nil)
	return n.stepLocked(lifecycle.Event{Kind: lifecycle.OnRequest, ID: c.id}, after)
}

// fresh is how lately a link must have been heard to be reported as heard now.
const fresh = 200 * time.Millisecond

// hear tells the machine that the link was heard lately. The link notes that
// without the mutex, and the machine is told only when it matters.
func (n *node) hear(after []func()) []func() {
	if n.link == nil || n.link.conn.Silent() > fresh {
		return after
	}
	return n.stepLocked(lifecycle.Event{Kind: lifecycle.OnHeard, Link: n.link.number}, after)
}

// watch lets the machine look at a link on which requests wait for an answer.
func (n *node) watch() {
	n.mu.Lock()
	var after []func()
	if n.link != nil && len(n.link.calls) > 0 {
		after = n.hear(after)
		after = n.stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke}, after)
	}
	n.mu.Unlock()
	run(after)
}

func (n *node) step(ev lifecycle.Event) {
	n.mu.Lock()
	after := n.stepLocked(ev, nil)
	n.mu.Unlock()
	run(after)
}

func (n *node) stepLocked(ev lifecycle.Event, after []func()) []func() {
	var space [8]lifecycle.Action
	for _, a := range n.machine.Step(n.pool.now(), ev, space[:0]) {
		after = n.do(a, after)
	}
	return after
}

// do carries out one order of the machine.
func (n *node) do(a lifecycle.Action, after []func()) []func() {
	switch a.Kind {
	case lifecycle.DoInvoke:
		n.invoke(a.Session)
	case lifecycle.DoSend:
		if c := n.queued[a.ID]; c != nil {
			delete(n.queued, a.ID)
			after = n.send(c, after)
		}
	case lifecycle.DoFail:
		if c := n.queued[a.ID]; c != nil {
			after = n.drop(c, a.Code, after)
		}
	case lifecycle.DoFailSent:
		if l := n.links[a.Link]; l != nil {
			after = n.failSent(l, a.Code, after)
		}
	case lifecycle.NoteUnheard:
		n.pool.log.Debug("instance unheard", "node", n.id, "instance", a.Instance)
	case lifecycle.NoteLost:
		after = append(after, n.forget(a.Instance)...)
	case lifecycle.DoWelcome:
		after = n.welcome(a, after)
	case lifecycle.DoRefuse:
		if l := n.links[a.Link]; l != nil {
			_ = l.conn.Send(wire.TypeDone, a.Code, 0, &wire.Done{Detail: "hello refused"})
			l.conn.Finish(a.Code)
		}
	case lifecycle.DoAgreeSleep:
		n.answer(a.Link, wire.TypeAsleep, 0)
	case lifecycle.DoStay:
		n.answer(a.Link, wire.TypeStay, 0)
	case lifecycle.DoPing:
		if n.link != nil {
			n.answer(n.link.number, wire.TypePing, a.Number)
		}
	case lifecycle.DoCloseLink:
		if l := n.links[a.Link]; l != nil {
			l.conn.Close(wire.Errorf(wire.CodeTimeout, "node %d is not trusted any more", n.id))
			if n.link == l {
				n.link = nil
			}
		}
	case lifecycle.DoSetTimer:
		n.setTimer(a.Timer, a.At)
	case lifecycle.DoClearTimer:
		if t := n.timers[a.Timer]; t != nil {
			t.Stop()
		}
	}
	return after
}

func (n *node) setTimer(which lifecycle.Timer, at time.Duration) {
	in := max(0, at-n.pool.now())
	if t := n.timers[which]; t != nil {
		t.Reset(in)
		return
	}
	n.timers[which] = time.AfterFunc(in, func() {
		n.mu.Lock()
		after := n.hear(nil)
		after = n.stepLocked(lifecycle.Event{Kind: lifecycle.OnTick, Timer: which}, after)
		n.mu.Unlock()
		run(after)
	})
}

func (n *node) answer(number uint64, t wire.Type, value uint64) {
	if l := n.links[number]; l != nil {
		_ = l.conn.Send(t, wire.CodeOK, 0, &wire.Session{Epoch: n.pool.cfg.Epoch, Session: l.session, Number: value})
	}
}

// welcome makes a link the node's link. What must reach the node before its
// queue, because it makes room there, goes first.
func (n *node) welcome(a lifecycle.Action, after []func()) []func() {
	l := n.links[a.Link]
	if l == nil || n.hello == nil {
		return after
	}
	number := uint64(0)
	if n.speaks(n.hello) {
		number = 1
		n.pool.log.Info("instance holds chunks of which nothing is known", "node", n.id,
			"instance", n.hello.Instance, "chunks", n.hello.Chunks, "bytes", n.hello.Used)
	}
	for _, old := range n.links {
		if old != l && old.instance == n.current {
			old.conn.Close(wire.Errorf(wire.CodeClosed, "the instance dialled again"))
		}
	}
	n.link = l
	l.session = a.Session
	l.instance = n.current
	n.answer(a.Link, wire.TypeWelcome, number)
	return append(after, n.sendFrees()...)
}

// send puts a call on the link.
func (n *node) send(c *Call, after []func()) []func() {
	l := n.link
	if l == nil {
		// The link has just ended, and the machine hears of it next.
		return n.drop(c, wire.ErrClosed, after)
	}
	l.stream++
	c.link, c.stream = l, l.stream
	l.calls[c.stream] = c
	fence := wire.Fence{Epoch: n.pool.cfg.Epoch, Session: l.session}
	switch c.kind {
	case callFetch:
		_ = l.conn.Send(wire.TypeFetch, 0, c.stream, &wire.Fetch{Fence: fence, Chunk: c.chunk, From: c.from, To: c.to, Credit: c.credit})
	case callStore:
		c.exhumed = l.instance.exhume(c.chunk) // the instance replaces it
		_ = l.conn.Send(wire.TypeStore, 0, c.stream, &wire.Store{Fence: fence, Chunk: c.chunk, Size: c.size, Record: c.record})
		for _, w := range c.wait {
			_ = l.conn.SendBlock(c.stream, w.b, w.body, nil, w.owner)
		}
		c.wait = nil
	case callFree:
		_ = l.conn.Send(wire.TypeFree, 0, c.stream, &wire.Free{Fence: fence, Chunks: n.named(c, l.instance)})
	}
	return after
}

// failSent ends every call that is in flight on a link.
func (n *node) failSent(l *nodeLink, code wire.Code, after []func()) []func() {
	streams := make([]uint32, 0, len(l.calls))
	for s := range l.calls {
		streams = append(streams, s)
	}
	slices.Sort(streams)
	for _, s := range streams {
		after = n.broken(l, l.calls[s], code, after)
	}
	return after
}

// unlink forgets a link that ended.
func (n *node) unlink(l *nodeLink, err error) {
	n.mu.Lock()
	delete(n.links, l.number)
	if n.link == l {
		n.link = nil
	}
	after := n.stepLocked(lifecycle.Event{Kind: lifecycle.OnLinkLost, Link: l.number}, nil)
	after = n.failSent(l, wire.CodeClosed, after)
	n.mu.Unlock()
	n.pool.log.Debug("link ended", "node", n.id, "link", l.number, "err", err)
	run(after)
}
