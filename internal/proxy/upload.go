package proxy

import (
	"context"
	"errors"
	"math/bits"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// placeTries is how many nodes a chunk is offered before it is given up.
	placeTries = 3
	// maxOpenStripes bounds the stripes of one upload that have begun and are not
	// settled. Two are under way in a writer that waits for each to be settled.
	maxOpenStripes = 8
)

// upload is a new version under way: staged in the catalog, its chunks on their
// way to nodes. The chunk door and the front doors both write through it.
type upload struct {
	p      *Proxy
	staged *catalog.Staged
	plan   stripe.Plan
	size   int64 // declared; -1 unknown
	record []byte
	tell   uploadListener
	inbox  inbox
	ctx    context.Context // of making room
	cancel context.CancelCauseFunc

	mu      sync.Mutex // let go of with unlock
	stripes []*uploadStripe
	sent    int64 // bytes of object in the stripes begun
	group   []uint32
	groupOf int // number of the group
	settled int // stripes
	err     error
	broke   bool // a node was not woken because the breaker is open
	over    bool
	waiters []chan struct{} // closed when something settles or fails
	ending  bool            // commit was asked for: its answer settles what is left
}

// uploadListener hears what becomes of stripes, in order. It is called with the
// upload locked, from any goroutine: it neither blocks nor calls the upload.
type uploadListener interface {
	stored(stripe uint32)
	resend(stripe uint32, chunk uint16)
	failed(err error) // the upload is over
}

type uploadStripe struct {
	number  uint32
	layout  erasure.Layout
	chunks  []uploadChunk
	full    int // chunks that are not empty
	acked   int
	open    int // chunks that are neither acknowledged nor given up
	want    int // blocks that have not come yet
	settled bool
	began   time.Time
	grace   *time.Timer
}

type uploadChunk struct {
	call  *pool.Call
	node  uint32
	tries int
	have  uint64 // blocks that came, one bit each
	acked bool
	over  bool
	wait  []heldBlock // before a node is chosen
}

type heldBlock struct {
	b     wire.Block
	body  []byte
	owner link.Releaser
}

// beginUpload starts a new version of a key. size is -1 if it is not known, and of
// the sealed form if there is a seal. If the condition does not hold the error is a
// *catalog.ConditionError.
func (p *Proxy) beginUpload(key string, size int64, sealed wire.Seal, o object.PutOptions, tell uploadListener) (*upload, error) {
	if err := p.reigns(); err != nil {
		return nil, err
	}
	if err := p.checkSize(size); err != nil {
		return nil, err
	}
	if o.Shape == (object.Shape{}) {
		o.Shape = p.cfg.Shape
	} else if err := placement.CheckShape(o.Shape); err != nil {
		return nil, wire.Errorf(wire.CodeRequest, "%v", err)
	}
	staged, err := p.catalog.Begin(key, o)
	if err != nil {
		return nil, err
	}
	guess := size
	if guess < 0 {
		guess = wire.MaxObject
	}
	u := &upload{
		p: p, staged: staged, size: size, tell: tell, groupOf: -1,
		plan: stripe.Plan{
			Version: staged.Version(),
			Shape:   placement.ShapeFor(guess, len(p.pool.Staying()), o.Shape),
			Stripe:  placement.StripeLen(size),
		},
	}
	if err := staged.SetPlan(u.plan.Shape, u.plan.Stripe); err != nil {
		staged.Abort()
		return nil, err
	}
	staged.SetSeal(sealed)
	if size >= 0 {
		staged.SetSize(size)
	}
	record := staged.Record()
	u.record = record.Append(nil)
	u.ctx, u.cancel = context.WithCancelCause(p.ctx)
	p.uploads.add(u)
	return u, nil
}

// begin opens a stripe and finds its nodes, in the background if that takes
// making room.
func (u *upload) begin(number uint32, length int64) error {
	u.mu.Lock()
	defer u.unlock()
	switch {
	case u.over:
		return u.ended()
	case len(u.stripes)-u.settled >= maxOpenStripes:
		return wire.Errorf(wire.CodeProtocol, "stripe %d begins, while %d before it are not settled", number, maxOpenStripes)
	case int(number) != len(u.stripes):
		return wire.Errorf(wire.CodeProtocol, "stripe %d begins, expected is %d", number, len(u.stripes))
	case u.sent != int64(number)*u.plan.Stripe:
		return wire.Errorf(wire.CodeProtocol, "stripe %d begins after a short one", number)
	case length < 1 || length > u.plan.Stripe:
		return wire.Errorf(wire.CodeProtocol, "stripe of %d bytes, allowed are 1 to %d", length, u.plan.Stripe)
	case u.size >= 0 && length != (placement.Stripes{Size: u.size, Stripe: u.plan.Stripe}).Len(int(number)):
		return wire.Errorf(wire.CodeShort, "stripe %d of %d bytes does not fit an object of %d", number, length, u.size)
	}
	if u.size < 0 {
		if err := u.p.checkSize(u.sent + length); err != nil {
			return err
		}
	}
	shape := u.plan.Shape
	s := &uploadStripe{
		number: number, began: time.Now(),
		layout: erasure.NewLayout(length, shape.Data, shape.Parity),
		chunks: make([]uploadChunk, shape.Data+shape.Parity),
	}
	for i := range s.chunks {
		if n := s.layout.Blocks(i, wire.BlockSize); n > 0 {
			s.full++
			s.want += n
		} else {
			s.chunks[i].over = true // nothing to keep
		}
	}
	s.open = s.full
	u.stripes = append(u.stripes, s)
	u.sent += length

	cost := u.cost(s)
	group := int(number) / placement.StripesPerGroup(shape, u.plan.Stripe)
	if group == u.groupOf && u.p.reserve(u.group, cost) {
		u.start(s, u.group)
		return nil
	}
	if nodes, err := u.p.tryPlace(len(s.chunks), cost, nil); err == nil {
		u.group, u.groupOf = nodes, group
		u.start(s, nodes)
		return nil
	}
	// Making room takes time; blocks that come meanwhile wait, within the window.
	begun := u.p.work.Go(func() {
		nodes, err := u.p.place(u.ctx, len(s.chunks), cost, nil)
		if err != nil && len(s.chunks) > u.p.pool.Lasting() {
			err = errShrunk
		}
		u.mu.Lock()
		defer u.unlock()
		if err != nil {
			u.fail(err)
			return
		}
		if u.over {
			for _, n := range nodes {
				u.p.pool.Unreserve(n, cost)
			}
			return
		}
		u.group, u.groupOf = nodes, group
		u.start(s, nodes)
	})
	if !begun {
		return wire.ErrClosed
	}
	return nil
}

// cost is what every chunk of a stripe reserves: that of the widest.
func (u *upload) cost(s *uploadStripe) int64 {
	return pool.Cost(s.layout.ChunkSize(), len(u.record))
}

// start asks the nodes to keep the chunks, each of which has a reservation of
// cost there. u.mu is held.
func (u *upload) start(s *uploadStripe, nodes []uint32) {
	places := make([]catalog.Place, len(nodes))
	for i, n := range nodes {
		places[i].Node = n
	}
	cost := u.cost(s)
	if err := u.staged.Place(s.number, places); err != nil {
		for _, n := range nodes {
			u.p.pool.Unreserve(n, cost)
		}
		u.fail(err)
		return
	}
	for i := range s.chunks {
		c := &s.chunks[i]
		c.node = nodes[i]
		if c.over {
			u.p.pool.Unreserve(c.node, cost)
			continue
		}
		u.store(s, i)
		for _, h := range c.wait {
			c.call.Block(h.b, h.body, h.owner)
		}
		c.wait = nil
	}
}

// store offers a chunk to its node. The reservation is for the widest chunk;
// what a short one does not need is given back.
func (u *upload) store(s *uploadStripe, i int) {
	c := &s.chunks[i]
	size := s.layout.Len(i)
	if spare := u.cost(s) - pool.Cost(size, len(u.record)); spare > 0 {
		u.p.pool.Unreserve(c.node, spare)
	}
	c.tries++
	try := c.tries
	chunk := wire.Chunk{Version: u.plan.Version, Stripe: s.number, Index: uint16(i)}
	c.call = u.p.pool.Store(c.node, chunk, uint32(size), u.record, lifecycle.Serve, func(at catalog.Place, err error) {
		u.hear(answer{s, i, try, at, err})
	})
}

// block takes one block of a chunk. The owner is released when its bytes are on
// their way, or not needed.
func (u *upload) block(b wire.Block, body []byte, owner link.Releaser) error {
	u.mu.Lock()
	defer u.unlock()
	err := u.checkBlock(b, len(body))
	if err != nil || u.over {
		owner.Release()
		if err == nil {
			err = u.ended()
		}
		return err
	}
	s := u.stripes[b.Stripe]
	c := &s.chunks[b.Chunk]
	if c.have&(1<<b.Index) != 0 || c.over {
		owner.Release() // again, or too late
		return nil
	}
	c.have |= 1 << b.Index
	s.want--
	if c.call == nil {
		c.wait = append(c.wait, heldBlock{b, body, owner})
		return nil
	}
	c.call.Block(b, body, owner)
	if s.want == 0 {
		u.judge(s)
	}
	return nil
}

func (u *upload) checkBlock(b wire.Block, n int) error {
	if int(b.Stripe) >= len(u.stripes) {
		return wire.Errorf(wire.CodeProtocol, "block of stripe %d, which has not begun", b.Stripe)
	}
	s := u.stripes[b.Stripe]
	if int(b.Chunk) >= len(s.chunks) {
		return wire.Errorf(wire.CodeProtocol, "block of chunk %d, the shape has %d", b.Chunk, len(s.chunks))
	}
	size, at := s.layout.Len(int(b.Chunk)), int64(b.Index)*wire.BlockSize
	if at >= int64(size) || n != int(min(int64(size)-at, wire.BlockSize)) {
		return wire.Errorf(wire.CodeProtocol, "block %d of %d bytes does not fit a chunk of %d", b.Index, n, size)
	}
	return nil
}

// answered takes a node's answer for a chunk. u.mu is held.
func (u *upload) answered(a answer) {
	s, i := a.stripe, a.chunk
	c := &s.chunks[i]
	if u.over || c.over || c.tries != a.try {
		if a.err == nil {
			u.p.freeChunk(a.at, u.plan.Version, s.number, uint16(i), s.layout.Len(i), len(u.record))
		}
		return
	}
	if a.err == nil {
		c.acked, c.over = true, true
		s.acked++
		s.open--
		u.staged.SetPlace(s.number, i, a.at)
		u.judge(s)
		return
	}
	u.broke = u.broke || errors.Is(a.err, wire.ErrBreaker)
	u.p.metrics.chunksRefused.Add(1)
	u.p.log.Debug("chunk not kept", "node", c.node, "try", a.try, "err", a.err)
	if c.tries < placeTries && s.acked < u.needed(s) {
		if next, perr := u.p.tryPlace(1, u.cost(s), u.members(s)); perr == nil {
			s.want += bits.OnesCount64(c.have)
			c.have = 0
			c.node = next[0]
			u.staged.SetPlace(s.number, i, catalog.Place{Node: c.node})
			u.tell.resend(s.number, uint16(i))
			u.store(s, i)
			return
		}
	}
	c.over = true
	s.open--
	u.judge(s)
}

// members are the nodes that hold or shall hold a chunk of the stripe.
func (u *upload) members(s *uploadStripe) []uint32 {
	nodes := make([]uint32, len(s.chunks))
	for i := range s.chunks {
		nodes[i] = s.chunks[i].node
	}
	return nodes
}

// freeChunk frees a chunk that never became part of a version.
func (p *Proxy) freeChunk(at catalog.Place, version uint64, stripe uint32, index uint16, size, record int) {
	p.pool.Free(at, wire.Chunk{Version: version, Stripe: stripe, Index: index}, pool.Cost(size, record))
}

// conditionFailed tells whether err says that a condition did not hold, and gives
// the version that stood in the way, if it was asked for.
func conditionFailed(err error) (*catalog.Pin, bool) {
	var c *catalog.ConditionError
	if errors.As(err, &c) {
		return c.Standing, true
	}
	return nil, false
}
