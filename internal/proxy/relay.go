package proxy

import (
	"sync"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// relay passes the chunks of one READ from nodes' links to the client's. It is
// the Sink of the calls to the nodes.
type relay struct {
	c      *client
	o      *opened
	stream uint32
	number uint32 // of the stripe
	wants  []wire.Want
	places []catalog.Place
	chunks [wire.MaxChunks]*relayChunk // by chunk; nil where not wanted; set before the first call

	mu    sync.Mutex
	open  int // chunks that have not ended
	over  bool
	calls []*pool.Call // once started
}

// relayChunk books what one chunk may have under way. It is guarded by relay.mu.
type relayChunk struct {
	r        *relay
	call     *pool.Call
	ask      int64 // bytes wanted and not yet allowed
	reserved int64 // bytes taken from the client's share
	early    int64 // bytes to be allowed when call is known
	here     int   // blocks in the proxy's memory
	ended    bool
	filling  *relayBlock
	sent     func(n int)
}

// read begins a READ. If the client's share of the relay budget is used up, the
// READ waits in line, which holds up this client's READs alone.
func (c *client) read(stream uint32, m *wire.Read) {
	c.mu.Lock()
	o := c.opens[m.Open]
	var refused error
	switch {
	case o == nil:
		refused = wire.Errorf(wire.CodeRequest, "READ of stream %d, which is not open", m.Open)
	case c.reads[stream] != nil || len(c.reads) >= maxReads || len(c.waiting) >= maxReads:
		refused = wire.Errorf(wire.CodeBusy, "a link has at most %d READs under way, each on its own stream", maxReads)
	}
	r := &relay{c: c, o: o, stream: stream, number: m.Stripe, wants: m.Wants, open: len(m.Wants)}
	if refused != nil {
		c.mu.Unlock()
		for _, w := range m.Wants {
			r.end(w.Chunk, refused)
		}
		return
	}
	c.reads[stream] = r
	need := r.book()
	if len(c.waiting) > 0 || !c.share.tryTake(need) {
		c.waiting = append(c.waiting, r)
		if len(c.waiting) == 1 {
			c.starter.Go(c.startWaiting)
		}
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	r.start()
}

// startWaiting starts the READs in line, until there are none.
func (c *client) startWaiting() {
	for {
		c.mu.Lock()
		r := c.waiting[0]
		c.mu.Unlock()
		if err := c.share.take(c.ctx, r.booked()); err == nil {
			r.start()
		} // else the link has ended, and the READ with it
		c.mu.Lock()
		c.waiting[0] = nil
		c.waiting = c.waiting[1:]
		last := len(c.waiting) == 0
		c.mu.Unlock()
		if last {
			return
		}
	}
}

// book says what each chunk may have under way at first, and returns the sum. It
// is taken all at once and is within any share.
func (r *relay) book() (sum int64) {
	each := r.c.share.max / int64(len(r.wants)) / wire.BlockSize * wire.BlockSize
	for _, w := range r.wants {
		rc := &relayChunk{r: r, ask: int64(w.To-w.From) * wire.BlockSize}
		rc.reserved = min(rc.ask, wire.StreamCredit, each)
		rc.ask -= rc.reserved
		rc.sent = rc.released
		r.chunks[w.Chunk] = rc
		sum += rc.reserved
	}
	return sum
}

func (r *relay) booked() (sum int64) {
	for _, w := range r.wants {
		sum += r.chunks[w.Chunk].reserved
	}
	return sum
}

// start asks the nodes. What was booked was taken.
func (r *relay) start() {
	credits := make([]uint32, len(r.wants))
	for i, w := range r.wants {
		credits[i] = uint32(r.chunks[w.Chunk].reserved)
	}
	calls := make([]*pool.Call, 0, len(r.wants))
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if !over {
		r.places = r.o.pin.Places(r.number, nil)
		calls = r.c.p.fetch(r.o.pin.Record(), r.places, r.number, r.wants, credits, lifecycle.Serve, r, calls)
	}
	r.mu.Lock()
	for i, call := range calls {
		rc := r.chunks[r.wants[i].Chunk]
		rc.call, credits[i] = call, uint32(rc.early)
	}
	r.calls = calls
	over = r.over
	r.mu.Unlock()
	for i, call := range calls {
		if call != nil && credits[i] > 0 {
			call.Credit(credits[i])
		}
	}
	if over {
		r.stop(calls)
	}
}

// cancel gives the READ up. What is in the proxy's memory is still sent or
// dropped by the link.
func (r *relay) cancel() {
	r.mu.Lock()
	r.over = true
	calls := r.calls
	r.mu.Unlock()
	if calls != nil { // else start stops it when it sees over
		r.stop(calls)
	}
}

// stop ends the calls and what was booked for them.
func (r *relay) stop(calls []*pool.Call) {
	pool.EndRead(calls)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wants {
		rc := r.chunks[w.Chunk]
		rc.ended = true
		rc.settle()
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
	r.c.queued.begin()
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
	r.c.queued.end()
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
	call, over := rc.call, r.over
	if call == nil {
		rc.early += more
	}
	r.mu.Unlock()
	if more > 0 && call != nil {
		call.Credit(uint32(more))
	}
	if over {
		return
	}
	r.c.mu.Lock()
	r.o.bytes += int64(n)
	r.c.mu.Unlock()
}

// End implements stripe.Sink.
func (r *relay) End(chunk uint16, err error) {
	r.mu.Lock()
	rc := r.chunks[chunk]
	again := rc == nil || rc.ended
	if !again {
		rc.ended = true
		rc.settle()
		r.open--
	}
	over, last, calls := r.over, r.open == 0, r.calls
	r.mu.Unlock()
	if over || again {
		return
	}
	if last {
		pool.EndRead(calls)
	}
	if err != nil {
		if int(chunk) < len(r.places) {
			r.c.p.chunkFailed(r.o.pin, r.number, chunk, r.places[chunk], err)
		}
		r.end(chunk, err)
	} // else its last block has said so
	if last {
		r.c.mu.Lock()
		if r.c.reads[r.stream] == r {
			delete(r.c.reads, r.stream)
		}
		r.c.settleLocked()
		r.c.mu.Unlock()
	}
}

func (r *relay) end(chunk uint16, err error) {
	code, d := wire.DoneOf(err)
	d.Chunk = chunk
	_ = r.c.conn.Send(wire.TypeEnd, code, r.stream, d)
}
