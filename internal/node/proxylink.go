package node

import (
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// maxRequests bounds the requests of one link that are being served. More are
// answered with busy.
const maxRequests = 4096

// aliveEvery is after how long a proxy that sends blocks hears that they arrive. If it
// hears nothing for lifecycle.Config.QuietFor it asks, and over a slow link the question
// comes too late, behind the blocks.
const aliveEvery = 250 * time.Millisecond

// proxyLink is the instance's end of a link to its proxy. Its fields are guarded
// by the node's mutex, but for those that only the reading goroutine uses.
type proxyLink struct {
	n        *Node
	number   uint64
	conn     *link.Conn
	over     chan struct{}      // closed when the link has ended
	requests map[uint32]request // being served, by stream
	patience *time.Timer        // with what is written before the end; nil until reset
	said     time.Time          // when the proxy was last told something, or began to ask

	// Of the reading goroutine.
	filling *staging   // whose block is being read
	store   wire.Store // memory for decoding
	free    wire.Free
}

// request is one that began and has not ended.
type request interface {
	// abandon lets go of what the request holds. Nobody is told.
	abandon()
}

// abandon ends all requests of the link unanswered. The machine has yet to hear
// of it, see settle.
func (l *proxyLink) abandon() {
	for stream, r := range l.requests {
		delete(l.requests, stream)
		r.abandon()
		l.n.over++
	}
}

// Frame takes what the proxy says.
func (l *proxyLink) Frame(h wire.Header, meta []byte) error {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	switch h.Type {
	case wire.TypeFetch:
		var m wire.Fetch
		if err := m.Decode(meta); err != nil {
			return err
		}
		if begun, err := l.begin(h.Stream, m.Fence); !begun {
			return err
		}
		l.fetch(h.Stream, &m)
	case wire.TypeStore:
		if err := l.store.Decode(meta); err != nil {
			return err
		}
		if begun, err := l.begin(h.Stream, l.store.Fence); !begun {
			return err
		}
		l.stage(h.Stream, &l.store)
		l.store.Record = nil // it is the frame's memory
	case wire.TypeFree:
		if err := l.free.Decode(meta); err != nil {
			return err
		}
		if begun, err := l.begin(h.Stream, l.free.Fence); !begun {
			return err
		}
		l.release(h.Stream, l.free.Chunks)
	case wire.TypeList:
		var m wire.List
		if err := m.Decode(meta); err != nil {
			return err
		}
		if begun, err := l.begin(h.Stream, m.Fence); !begun {
			return err
		}
		l.list(h.Stream, &m)
	case wire.TypeCredit:
		var m wire.Credit
		if err := m.Decode(meta); err != nil {
			return err
		}
		l.credit(h.Stream, int64(m.Bytes))
	case wire.TypeCancel:
		l.conn.Drop(h.Stream) // over a slow link other answers would wait behind it
		if r := l.requests[h.Stream]; r != nil {
			r.abandon()
			l.done(h.Stream, 0, wire.ErrCanceled)
		}
	case wire.TypeDone:
		if h.Stream == 0 {
			l.refused(h.Code, meta)
		}
	default:
		return l.control(h.Type, meta)
	}
	return nil
}

// credit lets a request that waits for it go on.
func (l *proxyLink) credit(stream uint32, bytes int64) {
	switch r := l.requests[stream].(type) {
	case *fetch:
		r.credit += bytes
		l.pump(r)
	case *listing:
		r.credit += bytes
		r.signal()
	}
}

// control takes what is said of the session as a whole.
func (l *proxyLink) control(t wire.Type, meta []byte) error {
	var kind lifecycle.EventKind
	switch t {
	case wire.TypeWelcome:
		kind = lifecycle.OnWelcome
	case wire.TypePing:
		kind = lifecycle.OnPing
	case wire.TypeAsleep:
		kind = lifecycle.OnAsleep
	case wire.TypeStay:
		kind = lifecycle.OnStay
	case wire.TypeNotice:
		kind = lifecycle.OnRelease
	default:
		return wire.Errorf(wire.CodeProtocol, "%v is not for a node to receive", t)
	}
	var m wire.Session
	if err := m.Decode(meta); err != nil {
		return err
	}
	if m.Epoch == l.n.machine.Epoch() {
		if t == wire.TypeWelcome && m.Number == 1 && !l.n.machine.Accepting() && m.Session == l.n.machine.Session() {
			if err := l.n.drop(); err != nil {
				return err
			}
		}
		l.n.step(lifecycle.Event{Kind: kind, Session: m.Session, Link: l.number, Number: m.Number})
	}
	return nil
}

// refused takes the proxy's reason for not welcoming the hello.
func (l *proxyLink) refused(code wire.Code, meta []byte) {
	var d wire.Done
	if d.Decode(meta) == nil {
		l.n.log.Warn("hello refused", "link", l.number, "err", d.Err(code))
	}
	l.n.step(lifecycle.Event{Kind: lifecycle.OnRefused, Link: l.number, Code: code})
}

// begin says whether a request is to be served: one of this session, on its
// link, after the welcome. Any other was sent to an earlier session, and its
// asker has been told so already.
func (l *proxyLink) begin(stream uint32, fence wire.Fence) (bool, error) {
	m := &l.n.machine
	if !m.Accepting() || m.Link() != l.number || fence != (wire.Fence{Epoch: m.Epoch(), Session: m.Session()}) {
		return false, nil
	}
	if stream == 0 || l.requests[stream] != nil {
		return false, wire.Errorf(wire.CodeProtocol, "a request on stream %d, which is taken", stream)
	}
	l.n.session.requests++
	if len(l.requests) == 0 {
		l.said = time.Now()
	}
	l.n.step(lifecycle.Event{Kind: lifecycle.OnBegan, Link: l.number})
	if len(l.requests) >= maxRequests {
		l.done(stream, 0, wire.Errorf(wire.CodeBusy, "%d requests are being served", maxRequests))
		return false, nil
	}
	return true, nil
}

// alive tells the proxy that its blocks arrive, if it has heard nothing for a while.
func (l *proxyLink) alive() {
	m := &l.n.machine
	if now := time.Now(); now.Sub(l.said) >= aliveEvery && m.Accepting() && m.Link() == l.number {
		l.said = now
		_ = l.conn.Send(wire.TypePong, wire.CodeOK, 0, &wire.Session{Epoch: m.Epoch(), Session: m.Session()})
	}
}

// done answers a request, which is over with it.
func (l *proxyLink) done(stream uint32, value int64, err error) {
	delete(l.requests, stream)
	l.said = time.Now()
	code, d := wire.DoneOf(err)
	d.Value = uint64(value)
	_ = l.conn.Send(wire.TypeDone, code, stream, d)
	l.n.step(lifecycle.Event{Kind: lifecycle.OnEnded})
}
