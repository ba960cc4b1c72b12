package proxy

import (
	"sync"

	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// relay passes the chunks of one READ from nodes' links to the client's. It is
// the Sink of the calls to the nodes.
type relay struct {
	c      *client
	o      *opened
	stream uint32
	chunks [wire.MaxChunks]*relayChunk // by chunk; nil where not wanted

	mu    sync.Mutex
	open  int // chunks that have not ended
	over  bool
	calls []*pool.Call
}

// relayChunk books what one chunk may have under way. It is guarded by relay.mu.
type relayChunk struct {
	r        *relay
	call     *pool.Call
	ask      int64 // bytes wanted and not yet allowed
	reserved int64 // bytes taken from the client's share
	here     int   // blocks in the proxy's memory
	ended    bool
	filling  *relayBlock
	sent     func(n int)
}

// read starts a READ. It waits for the client's share of the relay budget, which
// holds up this client alone.
func (c *client) read(stream uint32, m *wire.Read) {
	c.mu.Lock()
	o := c.opens[m.Open]
	var refused error
	switch {
	case o == nil:
		refused = wire.Errorf(wire.CodeRequest, "READ of stream %d, which is not open", m.Open)
	case c.reads[stream] != nil || len(c.reads) >= maxReads:
		refused = wire.Errorf(wire.CodeBusy, "a link has at most %d READs under way, each on its own stream", maxReads)
	}
	r := &relay{c: c, o: o, stream: stream, open: len(m.Wants)}
	if refused == nil {
		c.reads[stream] = r
	}
	c.mu.Unlock()
	if refused != nil {
		for _, w := range m.Wants {
			r.end(w.Chunk, refused)
		}
		return
	}
	var credits [wire.MaxChunks]uint32
	for i, w := range m.Wants {
		ask := int64(w.To-w.From) * wire.BlockSize
		take := min(ask, wire.StreamCredit)
		if err := c.share.take(c.ctx, take); err != nil {
			r.stop(m.Wants[i:])
			return
		}
		rc := &relayChunk{r: r, ask: ask - take, reserved: take}
		rc.sent = rc.released
		r.mu.Lock()
		r.chunks[w.Chunk] = rc
		r.mu.Unlock()
		credits[i] = uint32(take)
	}
	next := 0
	credit := func(int64) uint32 { next++; return credits[next-1] }
	calls := c.p.fetch(o.pin, m.Stripe, m.Wants, credit, r, make([]*pool.Call, 0, len(m.Wants)))
	r.mu.Lock()
	for i, w := range m.Wants {
		r.chunks[w.Chunk].call = calls[i]
	}
	r.calls = calls
	over := r.over
	r.mu.Unlock()
	if over {
		cancelAll(calls)
	}
}

func cancelAll(calls []*pool.Call) {
	for _, c := range calls {
		if c != nil {
			c.Cancel()
		}
	}
}

// stop ends a READ that did not get its share because the link ended.
func (r *relay) stop(rest []wire.Want) {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.chunks {
		if rc := r.chunks[i]; rc != nil {
			rc.ended = true
			rc.settle()
		}
	}
	r.open -= len(rest)
}

// cancel gives the READ up. What is in the proxy's memory is still sent or
// dropped by the link.
func (r *relay) cancel() {
	r.mu.Lock()
	r.over = true
	calls := r.calls
	r.mu.Unlock()
	cancelAll(calls)
	r.mu.Lock()
	defer r.mu.Unlock()
	if calls == nil {
		return // read is still at work, and cancels when it sees over
	}
	for _, rc := range r.chunks {
		if rc != nil && !rc.ended {
			rc.ended = true
			rc.settle()
		}
	}
}

// settle gives back what the chunk does not use any more. r.mu is held.
func (rc *relayChunk) settle() {
	if rc.ended && rc.here == 0 && rc.reserved > 0 {
		rc.r.c.share.give(rc.reserved)
		rc.reserved = 0
	}
}

// Buffer implements stripe.Sink.
func (r *relay) Buffer(b wire.Block, n int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	rc := r.chunks[b.Chunk]
	if r.over || rc == nil || rc.ended {
		return nil
	}
	rc.here++
	rc.filling = r.c.p.newBlock(n, rc.sent)
	return rc.filling.mem[:n]
}

// Block implements stripe.Sink.
func (r *relay) Block(b wire.Block, body []byte, err error) {
	r.mu.Lock()
	rc := r.chunks[b.Chunk]
	block := rc.filling
	rc.filling = nil
	drop := err != nil || r.over
	r.mu.Unlock()
	if drop {
		block.Release()
		return
	}
	_ = r.c.conn.SendBlock(r.stream, b, body, nil, block)
}

// released allows the node more, or gives back what was taken, when a block has
// left.
func (rc *relayChunk) released(n int) {
	r := rc.r
	r.mu.Lock()
	rc.here--
	more := min(int64(n), rc.ask)
	if rc.ended || r.over {
		more = 0
	}
	rc.ask -= more
	if back := min(int64(n)-more, rc.reserved); back > 0 {
		rc.reserved -= back
		r.c.share.give(back)
	}
	rc.settle()
	call := rc.call
	r.mu.Unlock()
	if more > 0 && call != nil {
		call.Credit(uint32(more))
	}
	r.c.mu.Lock()
	r.o.bytes += int64(n)
	r.c.mu.Unlock()
}

// End implements stripe.Sink.
func (r *relay) End(chunk uint16, err error) {
	r.mu.Lock()
	if rc := r.chunks[chunk]; rc != nil {
		rc.ended = true
		rc.settle()
	}
	over := r.over
	r.mu.Unlock()
	if over {
		return
	}
	if err != nil {
		r.c.p.chunkFailed(r.o.pin, err)
		r.end(chunk, err)
	} // else its last block has said so
	r.mu.Lock()
	r.open--
	last := r.open == 0
	r.mu.Unlock()
	if last {
		r.c.mu.Lock()
		delete(r.c.reads, r.stream)
		r.c.settleLocked()
		r.c.mu.Unlock()
	}
}

func (r *relay) end(chunk uint16, err error) {
	code, d := wire.DoneOf(err)
	d.Chunk = chunk
	_ = r.c.conn.Send(wire.TypeEnd, code, r.stream, d)
}
