package pool

import (
	"math"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

type callKind uint8

const (
	callFetch callKind = iota
	callStore
	callFree
	callList
	callNothing // was for an instance that does not speak any more
)

// Call is one request to a node, from the asking to its end. It is guarded by
// its node's mutex.
type Call struct {
	kind  callKind
	n     *node // nil if it was over at once
	s     *seat // guarded by the node's mutex: a call that is repeated may change it
	id    uint64
	cause lifecycle.Cause
	only  *instance // that it is for; nil for whichever speaks

	link   *nodeLink // once sent
	stream uint32
	over   bool // ended, or given up: nobody is told any more
	chunk  wire.Chunk
	// owed is since when the node has all it needs to answer; zero before.
	owed time.Time

	// fetch
	at       catalog.Place
	from, to uint32 // blocks
	next     uint32 // the block that must come next
	credit   uint32 // allowed and not yet passed on
	again    bool   // it is the second time
	sink     stripe.Sink
	sent     time.Time
	took     time.Duration // until the node had sent it all; zero before

	// store
	size     uint32
	cost     int64
	reserved int64  // of that, in the node's books
	blocks   uint32 // still to be sent
	record   []byte
	wait     []waiting // blocks that came before there was a link
	done     func(catalog.Place, error)
	// exhumed: the chunk was dead in the instance until this Store was sent.
	exhumed bool
	// copyOf is the lot whose chunk is copied to only; nil for what is stored anew.
	copyOf *lot

	// list
	listAfter uint64
	visit     func(wire.Held)
	listed    func(position uint64, err error)

	// free
	frees  []dead
	holder *instance
}

// waiting is a block that waits for its node to wake.
type waiting struct {
	b     wire.Block
	body  []byte
	owner link.Releaser
}

// Fetch asks for blocks from to to-1 of a chunk. What comes goes to sink, which
// is called from the link's goroutine and, when the call fails at once, from
// this one. credit is how many bytes may be under way; Credit allows more. A
// chunk fails with wire.ErrNotHeld if the very instance named by at denies that
// it holds it, with wire.ErrLost if that instance is gone, and with
// wire.ErrUnheard if another one plays the node.
func (p *Pool) Fetch(at catalog.Place, chunk wire.Chunk, from, to, credit uint32, cause lifecycle.Cause, sink stripe.Sink) *Call {
	c := &Call{kind: callFetch, cause: cause, chunk: chunk, at: at, from: from, to: to, next: from, credit: credit, sink: sink}
	n := p.node(at.Node)
	if at.Instance == 0 || n == nil {
		c.over = true
		sink.End(chunk.Index, wire.ErrLost)
		return c
	}
	n.mu.Lock()
	// Another instance would only answer that it does not hold the chunk.
	var refused error
	switch state := n.stateOf(at.Instance); {
	case state == Lost:
		refused = wire.ErrLost
	case state == Unheard && n.ordinary().serving():
		refused = wire.ErrUnheard
	}
	if refused != nil {
		c.over = true
		n.mu.Unlock()
		sink.End(chunk.Index, refused)
		return c
	}
	after := n.seatFor(n.lots[at.Instance]).begin(c)
	n.mu.Unlock()
	run(after)
	return c
}

// Store asks a node to keep a chunk of size bytes, whose blocks the caller
// hands to Block. The reservation of its Cost is the call's from now on. record
// is read until the call ends. done is called once, without locks, with the
// place where the chunk is, or with why it is not kept.
func (p *Pool) Store(node uint32, chunk wire.Chunk, size uint32, record []byte, cause lifecycle.Cause, done func(catalog.Place, error)) *Call {
	cost := Cost(int(size), len(record))
	c := &Call{
		kind: callStore, cause: cause, chunk: chunk, size: size, blocks: blocksOf(size),
		cost: cost, reserved: cost, record: record, done: done,
	}
	n := p.node(node)
	if n == nil {
		c.over = true
		done(catalog.Place{}, wire.ErrLost)
		return c
	}
	n.mu.Lock()
	after := n.ordinary().begin(c)
	n.mu.Unlock()
	run(after)
	return c
}

// blocksOf is how many blocks a chunk of size bytes has.
func blocksOf(size uint32) uint32 { return (size + wire.BlockSize - 1) / wire.BlockSize }

// Block hands over a block of a Store. body must not change until owner is
// released, which happens once, whatever becomes of the call.
func (c *Call) Block(b wire.Block, body []byte, owner link.Releaser) {
	if c.n == nil {
		owner.Release()
		return
	}
	mu := &c.n.mu
	mu.Lock()
	switch {
	case c.over || c.kind == callNothing:
		mu.Unlock()
		owner.Release()
		return
	case c.link == nil:
		c.wait = append(c.wait, waiting{b, body, owner})
	default:
		// Queued under the mutex, so that blocks follow their STORE. An error
		// means that the link is ending, and with it the call.
		c.sendBlock(b, body, owner)
	}
	mu.Unlock()
}

// sendBlock queues a block of a Store that was sent. The node's mutex is held.
func (c *Call) sendBlock(b wire.Block, body []byte, owner link.Releaser) {
	_ = c.link.conn.SendBlock(c.stream, b, body, nil, owner)
	if c.blocks--; c.blocks == 0 {
		c.owed = time.Now()
	}
}

// Credit allows n more bytes of a Fetch.
func (c *Call) Credit(n uint32) {
	if c.n == nil {
		return
	}
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	switch {
	case c.over || c.kind == callNothing:
	case c.link == nil:
		c.credit += n
	default:
		_ = c.link.conn.Send(wire.TypeCredit, 0, c.stream, &wire.Credit{Bytes: n})
	}
}

// EndRead ends the calls of one read, of which some may be nil: those that are not over
// are given up. A node that took three times as long as usual among them is slow, and so
// is one given up that was later by half than the last of those that answered. One that
// took at most half as long again as usual is slow no more.
func EndRead(calls []*Call) {
	var took []time.Duration
	for _, c := range calls {
		if c != nil && c.n != nil {
			c.n.mu.Lock()
			if c.took > 0 {
				took = append(took, c.took)
			}
			c.n.mu.Unlock()
		}
	}
	slices.Sort(took)
	for _, c := range calls {
		if c == nil || c.n == nil {
			continue
		}
		if n := len(took); n > 0 {
			c.judge(took[(n-1)/2], took[n-1])
		}
		c.Cancel()
	}
}

// judge notes that the node is slow, if it is. usual and last are what it takes others.
// Some were late by chance: with more of those than an object has parity, the one that
// is slow would be asked again and again, as one of them.
func (c *Call) judge(usual, last time.Duration) {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	switch {
	case c.took > 3*usual || c.link != nil && !c.over && time.Since(c.sent) > last*3/2:
		c.link.slow = time.Now()
	case c.link != nil && c.took > 0 && c.took <= usual*3/2:
		c.link.slow = time.Time{}
	}
}

// Cancel gives the call up: its sink hears nothing more but a Block for a Buffer
// that it gave before; a Store's done is called with wire.ErrCanceled.
func (c *Call) Cancel() {
	if c.n == nil {
		return
	}
	n := c.n
	n.mu.Lock()
	if c.over {
		n.mu.Unlock()
		return
	}
	var after []func()
	switch {
	case c.link != nil:
		// The node still answers, and the machine counts that answer.
		_ = c.link.conn.Send(wire.TypeCancel, 0, c.stream, nil)
		after = c.giveUp(after)
		if l := c.link; c.kind == callStore {
			// On a slow link they would hold up what comes after them, and keep
			// the memory that their sender needs to go on.
			after = append(after, func() { l.conn.Drop(c.stream) })
		}
	case c.s.queued[c.id] == c:
		after = c.s.stepLocked(lifecycle.Event{Kind: lifecycle.OnCancel, ID: c.id}, after)
	default: // about to be repeated
		after = c.giveUp(after)
	}
	n.mu.Unlock()
	run(after)
}

// giveUp ends a sent call for its asker only; its bytes stay booked until the
// node has answered.
func (c *Call) giveUp(after []func()) []func() {
	c.over = true
	c.owed = time.Now()
	switch {
	case c.done != nil:
		after = append(after, func() { c.end(catalog.Place{}, wire.ErrCanceled) })
	case c.listed != nil:
		after = append(after, func() { c.listed(0, wire.ErrCanceled) })
	}
	return after
}

// end tells the asker of a Store how it ended, and lets go of blocks that were
// never sent. The mutex is not held.
func (c *Call) end(at catalog.Place, err error) {
	for _, w := range c.wait {
		w.owner.Release()
	}
	c.wait = nil
	c.done(at, err)
}

// giveBack ends what was promised for a call.
func (n *node) giveBack(c *Call) {
	n.reserved -= c.reserved
	if c.copyOf != nil {
		c.only.coming -= c.cost
	}
}

// drop ends a call that was never sent.
func (s *seat) drop(c *Call, err error, after []func()) []func() {
	delete(s.queued, c.id)
	s.n.giveBack(c)
	return s.tell(c, err, 0, after)
}

// tell ends a call for its asker.
func (s *seat) tell(c *Call, err error, value uint64, after []func()) []func() {
	if c.kind == callFree {
		return append(after, s.freesDone(c, err)...)
	}
	if c.over {
		return after
	}
	c.over = true
	switch {
	case c.sink != nil:
		after = append(after, func() { c.sink.End(c.chunk.Index, err) })
	case c.listed != nil:
		after = append(after, func() { c.listed(value, err) })
	case c.done != nil:
		at := catalog.Place{Node: s.n.id}
		if err == nil && c.copyOf == nil {
			at.Instance = c.link.instance.open.number
		}
		after = append(after, func() { c.end(at, err) })
	}
	return after
}

// answered ends a sent call by the node's own answer.
func (s *seat) answered(l *nodeLink, c *Call, err error, value uint64) []func() {
	delete(l.calls, c.stream)
	s.n.giveBack(c)
	var after []func()
	switch c.kind {
	case callStore:
		if err == nil {
			l.instance.held += c.cost
		}
		// Kept, but of no use; or not kept, and whether the one that it was to
		// replace is still there is not known.
		// It is no use either to free what another Store of it replaces.
		if err == nil && !s.n.count(c, l.instance) && !l.replaces(c) || err != nil && c.exhumed {
			l.instance.bury(dead{c.chunk, c.cost})
			after = s.n.freeSoon(l.instance)
		}
	case callFree:
		if err == nil {
			s.freed(l, c, int64(min(value, math.MaxInt64)))
		}
	case callFetch:
		if err == nil {
			c.took = time.Since(c.sent)
		}
		if err == nil && c.next != c.to {
			err = wire.Errorf(wire.CodeShort, "chunk ended at block %d of %d", c.next, c.to)
		}
		if wire.CodeOf(err) == wire.CodeNotHeld {
			err = s.n.notHeld(c, l.instance)
		}
	case callNothing:
		err = wire.ErrUnheard
	}
	after = s.tell(c, err, value, after)
	return s.stepLocked(lifecycle.Event{Kind: lifecycle.OnDone}, after)
}

// replaces tells whether another Store of the same chunk is under way, which
// replaces what c stored: to free c would free that one. Whether c is left if it
// fails is not known, so it is freed then.
func (l *nodeLink) replaces(c *Call) bool {
	for _, o := range l.calls {
		if o.kind == callStore && o.chunk == c.chunk {
			o.exhumed = true
			return true
		}
	}
	return false
}

// count takes a chunk that an instance has stored into its lot. It reports false
// if nobody wants it any more.
func (n *node) count(c *Call, i *instance) bool {
	switch {
	case c.over:
		return false
	case c.copyOf == nil:
		i.open.chunks++
	case n.lots[c.copyOf.number] != c.copyOf:
		return false
	default:
		i.addCopy(c.copyOf, dead{c.chunk, c.cost})
	}
	return true
}

// notHeld says what it means that an instance does not hold a chunk: if it is the
// only one that should, it has the last word.
func (n *node) notHeld(c *Call, i *instance) error {
	switch l := n.lots[c.at.Instance]; {
	case l == nil:
		return wire.ErrLost
	case len(l.holders) == 1 && l.heldBy(i):
		return wire.ErrNotHeld
	default:
		return wire.ErrUnheard
	}
}

// broken ends a sent call whose link or session is over. The instance may have
// kept the chunk of a Store or not: it is dead, and counted until it is heard
// of again.
func (s *seat) broken(l *nodeLink, c *Call, err error, after []func()) []func() {
	delete(l.calls, c.stream)
	s.n.giveBack(c)
	if c.kind == callStore {
		l.instance.held += c.cost
		l.instance.bury(dead{c.chunk, c.cost})
	}
	if c.kind == callFetch && !c.over && !c.again && c.next == c.from && s.n.pool.ctx.Err() == nil {
		c.again, c.link = true, nil
		return append(after, c.repeat)
	}
	return s.tell(c, err, 0, after)
}

// repeat asks once more for a chunk of which nothing had come when its link broke:
// with many nodes awake, some link breaks at any time, and a chunk that fails costs
// the reader a spare one.
func (c *Call) repeat() {
	n := c.n
	n.mu.Lock()
	var after []func()
	if l := n.lots[c.at.Instance]; c.over {
	} else if l == nil && c.only == nil {
		after = c.s.tell(c, wire.ErrLost, 0, nil)
	} else {
		s := c.s
		if c.only == nil {
			s = n.seatFor(l)
		}
		after = s.begin(c)
	}
	n.mu.Unlock()
	run(after)
}

func run(after []func()) {
	for _, f := range after {
		f()
	}
}
