package infinicache

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// pin is a version that the proxy keeps for this client until the pin is
// released, or its link ends. It implements stripe.Source.
type pin struct {
	conn   *connection
	stream uint32
	opened *wire.Opened
	reads  atomic.Int64 // under way

	mu       sync.Mutex // orders every READ before CLOSE
	released bool
}

// open pins the newest version of key.
func (p *proxy) open(ctx context.Context, key string) (*pin, error) {
	var opened *pin
	err := p.do(ctx, func(c *connection) error {
		a, id, err := c.ask(ctx, wire.TypeOpen, key)
		if err == nil {
			opened = &pin{conn: c, stream: id, opened: a.opened}
		}
		return err
	})
	return opened, err
}

// release gives the version up. why tells the proxy how its reads went; nil is
// well.
func (p *pin) release(why error) {
	p.mu.Lock()
	p.released = true
	p.conn.link.Send(wire.TypeClose, codeOf(why), p.stream, nil)
	p.mu.Unlock()
	if p.reads.Load() > 0 {
		p.conn.forgetReads(p)
	}
}

// Read implements stripe.Source.
func (p *pin) Read(index uint32, wants []wire.Want, sink stripe.Sink) (cancel func()) {
	r := &reading{pin: p, stripe: index, sink: sink, asked: append([]wire.Want(nil), wants...)}
	for _, w := range wants {
		r.pending |= 1 << w.Chunk
	}
	p.mu.Lock()
	id, err := uint32(0), error(wire.ErrCanceled)
	if !p.released {
		id, err = p.conn.begin(r, wire.TypeRead, &wire.Read{Open: p.stream, Stripe: index, Wants: wants})
	}
	p.mu.Unlock()
	if err != nil {
		for _, w := range wants {
			sink.End(w.Chunk, err)
		}
		return func() {}
	}
	p.reads.Add(1)
	return func() {
		if p.conn.forget(id) {
			p.reads.Add(-1)
			p.conn.link.Send(wire.TypeCancel, wire.CodeOK, id, nil)
		}
	}
}

// reading is one READ under way.
type reading struct {
	pin    *pin
	stripe uint32
	sink   stripe.Sink
	asked  []wire.Want

	// Of the goroutine that reads the link.
	pending uint64 // chunks whose last block has not come and that have not failed
}

// arrives notes that a block comes, and tells whether it is the last of all.
func (r *reading) arrives(b wire.Block) (last bool) {
	for _, w := range r.asked {
		if w.Chunk == b.Chunk && b.Index+1 >= w.To {
			r.pending &^= 1 << w.Chunk
		}
	}
	return r.pending == 0
}

// wants tells whether a block can belong to the read.
func (r *reading) wants(b wire.Block) bool {
	return b.Stripe == r.stripe && b.Chunk < wire.MaxChunks && r.pending&(1<<b.Chunk) != 0
}

func (r *reading) frame(h wire.Header, meta []byte) (bool, error) {
	var d wire.Done
	if h.Type != wire.TypeEnd && (h.Type != wire.TypeDone || h.Code == wire.CodeOK) {
		return false, unexpected(h)
	}
	if err := d.Decode(meta); err != nil {
		return false, err
	}
	if h.Type == wire.TypeDone {
		r.broken(d.Err(h.Code))
		r.pin.reads.Add(-1)
		return true, nil
	}
	if d.Chunk >= wire.MaxChunks || r.pending&(1<<d.Chunk) == 0 {
		return false, wire.Errorf(wire.CodeProtocol, "END of chunk %d on stream %d, which was not asked for", d.Chunk, h.Stream)
	}
	r.pending &^= 1 << d.Chunk
	r.sink.End(d.Chunk, d.Err(h.Code))
	if r.pending == 0 {
		r.pin.reads.Add(-1)
		return true, nil
	}
	return false, nil
}

func (r *reading) broken(err error) {
	for chunk := range uint16(wire.MaxChunks) {
		if r.pending&(1<<chunk) != 0 {
			r.sink.End(chunk, err)
		}
	}
	r.pending = 0
}

func (r *reading) awaits() bool { return true }

// forgetReads drops the reads of a pin that is released, which the proxy may
// never have ended.
func (c *connection) forgetReads(p *pin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.streams {
		if r, ok := s.(*reading); ok && r.pin == p {
			delete(c.streams, id)
		}
	}
}
