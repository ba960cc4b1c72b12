package pool

import (
	"crypto/hmac"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// nodeLink is the proxy's end of a link to an instance. conn's reader goroutine
// alone uses the fields that are not marked otherwise.
type nodeLink struct {
	pool   *Pool
	conn   *link.Conn
	number uint64
	s      *seat // after the first good hello

	patience *time.Timer // closes a link that says no good hello
	known    func()      // to be called after each good one

	// Guarded by n.mu.
	calls    map[uint32]*Call // sent and not yet answered
	stream   uint32           // last given
	busy     time.Time        // when calls was empty last
	slow     time.Time        // when a read found it slow last
	session  uint64           // welcomed
	instance *instance        // that speaks here

	filling *Call // whose block is being read
	body    []byte
}

// Frame takes what the instance says.
func (l *nodeLink) Frame(h wire.Header, meta []byte) error {
	if h.Type == wire.TypeHello {
		return l.hello(meta)
	}
	if l.s == nil {
		return wire.Errorf(wire.CodeProtocol, "%v before HELLO", h.Type)
	}
	switch h.Type {
	case wire.TypeDone:
		var d wire.Done
		if err := d.Decode(meta); err != nil {
			return err
		}
		l.done(h.Stream, d.Err(h.Code), d.Value)
		return nil
	case wire.TypeHolding:
		var m wire.Holding
		if err := m.Decode(meta); err != nil {
			return err
		}
		l.holding(h.Stream, &m, len(meta))
		return nil
	case wire.TypeSleep, wire.TypePong, wire.TypeBye, wire.TypeNotice:
		var s wire.Session
		if err := s.Decode(meta); err != nil {
			return err
		}
		if s.Epoch != l.pool.cfg.Epoch {
			return nil // an old session's word
		}
		l.s.session(l, h.Type, s)
		return nil
	default:
		return wire.Errorf(wire.CodeProtocol, "%v is not for a proxy to receive", h.Type)
	}
}

// hello checks who speaks and lets the node's machine judge the rest.
func (l *nodeLink) hello(meta []byte) error {
	var h wire.Hello
	if err := h.Decode(meta); err != nil {
		return err
	}
	n := l.pool.node(h.Node)
	if n == nil || l.s != nil && l.s.n != n {
		return l.refuse(wire.Errorf(wire.CodeDenied, "hello of node %d, the pool has 0 to %d", h.Node, l.pool.Nodes()-1))
	}
	secret := wire.Secret(l.pool.cfg.Key, h.Epoch, h.Node, h.Session)
	if !hmac.Equal(secret[:], h.Proof[:]) {
		return l.refuse(wire.Errorf(wire.CodeDenied, "hello of node %d with a wrong secret", h.Node))
	}
	if h.Epoch != l.pool.cfg.Epoch {
		if h.Epoch < l.pool.cfg.Epoch {
			n.hush() // it served an earlier reign, and returns now
		} else if f := l.pool.cfg.OnFenced; f != nil {
			f(h.Epoch)
		}
		return l.refuse(wire.Errorf(wire.CodeStale, "hello of epoch %d, this is epoch %d", h.Epoch, l.pool.cfg.Epoch))
	}
	l.patience.Stop()
	l.known()
	n.mu.Lock()
	var after []func()
	s := n.seatOf(h.Session)
	if l.s != nil && l.s != s {
		// The link was kept from a session at the other seat.
		delete(l.s.links, l.number)
		if l.s.link == l {
			l.s.link = nil
		}
		after = l.s.stepLocked(lifecycle.Event{Kind: lifecycle.OnLinkLost, Link: l.number}, after)
		after = l.s.failSent(l, wire.CodeUnavailable, after)
	}
	l.s = s
	s.links[l.number] = l
	s.hello = &h
	after = s.stepLocked(lifecycle.Event{
		Kind: lifecycle.OnHello, Session: h.Session, Link: l.number, Instance: h.Instance,
	}, after)
	s.hello = nil
	n.mu.Unlock()
	run(after)
	return nil
}

// refuse tells the instance why it is not welcome, and closes the link.
func (l *nodeLink) refuse(err *wire.Error) error {
	l.pool.log.Warn("hello refused", "remote", l.conn.RemoteAddr(), "err", err)
	code, d := wire.DoneOf(err)
	_ = l.conn.Send(wire.TypeDone, code, 0, d)
	return err
}

// session passes on what is said of the session as a whole.
func (s *seat) session(l *nodeLink, t wire.Type, m wire.Session) {
	ev := lifecycle.Event{Session: m.Session, Link: l.number, Number: m.Number}
	switch t {
	case wire.TypeSleep:
		ev.Kind = lifecycle.OnSleep
	case wire.TypePong:
		ev.Kind = lifecycle.OnPong
	case wire.TypeBye:
		ev.Kind = lifecycle.OnBye
	case wire.TypeNotice:
		ev.Kind = lifecycle.OnNoticed
	}
	s.step(ev)
}

// done takes the answer to a call.
func (l *nodeLink) done(stream uint32, err error, value uint64) {
	n := l.s.n
	n.mu.Lock()
	var after []func()
	if c := l.calls[stream]; c != nil {
		after = l.s.answered(l, c, err, value)
	}
	n.mu.Unlock()
	run(after)
}

// holding passes on what an instance lists.
func (l *nodeLink) holding(stream uint32, m *wire.Holding, size int) {
	l.s.n.mu.Lock()
	c := l.calls[stream]
	wanted := c != nil && c.kind == callList && !c.over
	if wanted {
		c.owed = time.Now()
	}
	l.s.n.mu.Unlock()
	if wanted {
		for _, h := range m.Items {
			c.visit(h)
		}
		_ = l.conn.Send(wire.TypeCredit, 0, stream, &wire.Credit{Bytes: uint32(size)})
	}
}

// Buffer asks the call's sink where a block goes.
func (l *nodeLink) Buffer(stream uint32, b wire.Block, n int, vec [][]byte) [][]byte {
	if l.s == nil {
		return vec
	}
	l.s.n.mu.Lock()
	c := l.calls[stream]
	wanted := c != nil && c.kind == callFetch && !c.over
	if wanted {
		// A block that is not the next one of this chunk is not let through; the
		// call then ends short.
		wanted = b.Stripe == c.chunk.Stripe && b.Chunk == c.chunk.Index && b.Index == c.next && b.Index < c.to
		if wanted {
			c.next++
		}
	}
	l.s.n.mu.Unlock()
	if !wanted {
		return vec
	}
	body := c.sink.Buffer(b, n)
	if len(body) != n {
		return vec
	}
	l.filling, l.body = c, body
	return append(vec, body)
}

// Block tells the sink that its memory is filled.
func (l *nodeLink) Block(_ uint32, b wire.Block, _ int, err error) {
	c, body := l.filling, l.body
	l.filling, l.body = nil, nil
	c.sink.Block(b, body, err)
}
