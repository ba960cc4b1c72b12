package pool

import (
	"context"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// Copy has the proxy pass a chunk of size bytes, which is at a place that one side
// holds, to the other. It returns when the other has it. The node goes on serving
// meanwhile. record is read until Copy returns. The error matches wire.ErrFull if
// there is no room, and wire.ErrNotHeld or wire.ErrLost if the chunk is not there
// any more.
func (pr *Pair) Copy(ctx context.Context, from Side, at catalog.Place, chunk wire.Chunk, size uint32, record []byte) error {
	n := pr.n
	source, target := pr.sides[from], pr.sides[from.Other()]
	n.mu.Lock()
	l, there, here := n.lots[at.Instance], n.at(target), n.at(source)
	var refused error
	switch cost := Cost(int(size), len(record)); {
	case l == nil:
		refused = wire.ErrLost
	case there == nil || here == nil:
		refused = wire.ErrUnheard
	case n.roomIn(target) < cost:
		refused = wire.Errorf(wire.CodeFull, "the other instance has room for %d bytes", n.roomIn(target))
	}
	if refused != nil {
		n.mu.Unlock()
		return refused
	}
	r := newRelay(n.pool, chunk, size, record)
	r.store.only, r.store.cause, r.store.copyOf = target, lifecycle.Backup, l
	r.fetch.only, r.fetch.cause, r.fetch.at = source, lifecycle.Backup, at
	target.coming += r.store.cost
	after := there.begin(r.store)
	after = append(after, here.begin(r.fetch)...)
	n.mu.Unlock()
	run(after)
	_, err := r.wait(ctx)
	return err
}

// Discard has a side let go of a chunk that was freed while it was copied.
func (pr *Pair) Discard(side Side, chunk wire.Chunk, cost int64) {
	pr.n.pool.Discard(pr.n.id, pr.sides[side].id, chunk, cost)
}

// Move copies a chunk from where it is to another node, on which its Cost is
// reserved, and returns its place there. The reservation is Move's.
func (p *Pool) Move(ctx context.Context, at catalog.Place, chunk wire.Chunk, size uint32, record []byte, to uint32, cause lifecycle.Cause) (catalog.Place, error) {
	r := newRelay(p, chunk, size, record)
	r.store.cause, r.store.reserved = cause, r.store.cost
	r.fetch.cause, r.fetch.at = cause, at
	source, target := p.node(at.Node), p.node(to)
	if source == nil || target == nil {
		p.Unreserve(to, r.store.cost)
		return catalog.Place{}, wire.ErrLost
	}
	target.mu.Lock()
	after := target.ordinary().begin(r.store)
	target.mu.Unlock()
	run(after)
	source.mu.Lock()
	after = nil
	if l := source.lots[at.Instance]; l != nil {
		after = source.seatFor(l).begin(r.fetch)
	} else {
		r.fetch.over = true
		after = []func(){func() { r.End(chunk.Index, wire.ErrLost) }}
	}
	source.mu.Unlock()
	run(after)
	return r.wait(ctx)
}

// relay is a chunk on its way from one instance to another through the proxy: the
// sink of its FETCH, which feeds its STORE. Blocks are passed on as they are, with
// the checksums that were made where the object was coded.
type relay struct {
	pool         *Pool
	fetch, store *Call
	stored       chan stored
	failed       chan error // capacity 1: why the fetch failed
	filling      *relayed   // the block that is being read
}

type stored struct {
	at  catalog.Place
	err error
}

func newRelay(p *Pool, chunk wire.Chunk, size uint32, record []byte) *relay {
	r := &relay{pool: p, stored: make(chan stored, 1), failed: make(chan error, 1)}
	blocks := blocksOf(size)
	r.fetch = &Call{kind: callFetch, chunk: chunk, to: blocks, credit: wire.StreamCredit, sink: r}
	r.store = &Call{
		kind: callStore, chunk: chunk, size: size, blocks: blocks, cost: Cost(int(size), len(record)), record: record,
		done: func(at catalog.Place, err error) { r.stored <- stored{at, err} },
	}
	return r
}

// wait returns when the chunk is stored, or is not going to be.
func (r *relay) wait(ctx context.Context) (catalog.Place, error) {
	var why error
	select {
	case s := <-r.stored:
		r.fetch.Cancel()
		return s.at, s.err
	case why = <-r.failed:
	case <-ctx.Done():
		why = context.Cause(ctx)
	}
	r.fetch.Cancel()
	r.store.Cancel()
	if s := <-r.stored; s.err == nil {
		return s.at, nil
	}
	return catalog.Place{}, why
}

// relayed is a block on its way, and its memory.
type relayed struct {
	relay *relay
	size  int
	mem   []byte // wire.BlockSize
}

// Release implements link.Releaser: the block was written, or is not needed.
func (b *relayed) Release() {
	r := b.relay
	if r.fetch.to*wire.BlockSize > wire.StreamCredit {
		go r.fetch.Credit(uint32(b.size)) // the node's mutex may be held here
	}
	b.relay = nil
	r.pool.blocks.Put(b)
}

// Buffer implements stripe.Sink.
func (r *relay) Buffer(_ wire.Block, size int) []byte {
	b, _ := r.pool.blocks.Get().(*relayed)
	if b == nil {
		b = &relayed{mem: make([]byte, wire.BlockSize)}
	}
	b.relay, b.size = r, size
	r.filling = b
	return b.mem[:size]
}

// Block implements stripe.Sink. It follows its Buffer, on the same goroutine.
func (r *relay) Block(b wire.Block, body []byte, err error) {
	owner := r.filling
	r.filling = nil
	if err != nil {
		owner.relay = nil
		r.pool.blocks.Put(owner)
		return
	}
	r.store.Block(b, body, link.Releaser(owner))
}

// End implements stripe.Sink.
func (r *relay) End(_ uint16, err error) {
	if err != nil {
		r.failed <- err
	}
}
