package node

import (
	"time"

	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// listPatience is how long a LIST waits for CREDIT before it is given up.
const listPatience = 10 * time.Second

// listing is a LIST being served. That has a goroutine of its own: to go through a
// million chunks takes a while, in which the link serves others. A node makes one
// list at a time.
type listing struct {
	link     *proxyLink
	stream   uint32
	after    uint64
	position uint64        // when the LIST arrived
	store    *store.Store  // at that time
	last     *listing      // the one before, which may not have ended
	ended    chan struct{} // closed when the goroutine has
	resume   chan struct{} // capacity 1: credit came, or over is set
	encoded  []byte        // memory for measuring frames

	// Guarded by the node's mutex.
	credit int64 // bytes of metadata that may still be sent
	over   bool
}

func (g *listing) abandon() {
	g.over = true
	g.signal()
}

func (g *listing) signal() {
	select {
	case g.resume <- struct{}{}:
	default:
	}
}

// list begins to name chunks.
func (l *proxyLink) list(stream uint32, m *wire.List) {
	n := l.n
	if n.listing != nil && !n.listing.over {
		l.done(stream, 0, wire.Errorf(wire.CodeBusy, "another list is being made"))
		return
	}
	g := &listing{
		link: l, stream: stream, after: m.After,
		position: n.history.position, store: n.store,
		last: n.listing, ended: make(chan struct{}), resume: make(chan struct{}, 1),
		credit: wire.StreamCredit,
	}
	n.listing = g
	l.requests[stream] = g
	n.running.Go(func() {
		defer close(g.ended)
		if g.last != nil {
			<-g.last.ended
			g.last = nil
		}
		g.end(g.run())
	})
}

// run sends all HOLDING frames. If the request is over before, its result does
// not matter.
func (g *listing) run() error {
	chunks, err := g.store.List(g.after)
	if err != nil {
		return err
	}
	defer chunks.Close()
	var frame wire.Holding
	for {
		item, more, err := chunks.Next()
		if err != nil {
			return err
		}
		held := heldOf(item)
		if len(frame.Items) > 0 && !(more && frame.Fits(held)) {
			if going, err := g.send(&frame); !going {
				return err
			}
			frame.Items = frame.Items[:0]
		}
		if !more {
			return nil
		}
		frame.Items = append(frame.Items, held)
	}
}

// send sends a frame as soon as there is credit for it. going is false if the
// request is over, or with why it is to end.
func (g *listing) send(frame *wire.Holding) (going bool, err error) {
	g.encoded = frame.Append(g.encoded[:0])
	size := int64(len(g.encoded))
	patience := time.NewTimer(listPatience)
	defer patience.Stop()
	for {
		if sent, over := g.trySend(frame, size); sent || over {
			return !over, nil
		}
		select {
		case <-g.resume:
		case <-patience.C:
			return false, wire.Errorf(wire.CodeTimeout, "no credit for %d bytes of a list in %v", size, listPatience)
		}
	}
}

func (g *listing) trySend(frame *wire.Holding, size int64) (sent, over bool) {
	g.link.n.mu.Lock()
	defer g.link.n.mu.Unlock()
	if g.over || size > g.credit {
		return false, g.over
	}
	g.credit -= size
	if g.link.conn.Send(wire.TypeHolding, wire.CodeOK, g.stream, frame) != nil {
		return false, true // the link ends, and the request with it
	}
	return true, false
}

// end answers the request, unless it is over.
func (g *listing) end(err error) {
	n := g.link.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listing == g {
		n.listing = nil
	}
	if g.over || g.link.conn.Err() != nil {
		return
	}
	g.over = true
	g.link.done(g.stream, int64(g.position), codeOf(err))
}

func heldOf(item store.Item) wire.Held {
	return wire.Held{
		Chunk:  wire.Chunk{Version: item.Key.Version, Stripe: item.Key.Stripe, Index: item.Key.Chunk},
		Size:   uint32(item.Size),
		Record: item.Record,
	}
}
