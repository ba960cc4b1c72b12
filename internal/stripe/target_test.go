package stripe

import (
	"context"
	"fmt"
	"sync"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// fakeTarget keeps what is written in memory. Blocks lie in a queue, as on a
// link, and are taken from it by run. It knows the object's size, so that it can
// tell when a stripe is complete.
type fakeTarget struct {
	plan Plan
	size int64

	resend map[wire.Place]int // how often a chunk's node fails after its first block
	refuse error              // of Block, from block number refuseAt on
	after  int
	closed error // the target is over after so many blocks
	shut   int
	stuck  bool // nothing leaves the queue
	commit error
	begin  error // of the second stripe

	queue  chan sent
	events chan Event
	over   chan struct{}

	mu        sync.Mutex
	blocks    map[wire.Block][]byte
	begun     uint32
	arrived   int
	resent    int
	wrong     error
	aborted   bool
	settled   map[uint32]bool
	committed int64
	err       error
	under     int // blocks not released
	wg        sync.WaitGroup
}

type sent struct {
	b     wire.Block
	body  []byte
	owner Releaser
}

func newFakeTarget(shape object.Shape, stripe, size int64) *fakeTarget {
	t := &fakeTarget{plan: Plan{Version: 7, Shape: shape, Stripe: stripe}, size: size, committed: -1,
		queue: make(chan sent, 4), events: make(chan Event), over: make(chan struct{}),
		blocks: make(map[wire.Block][]byte), settled: make(map[uint32]bool)}
	return t
}

// start begins to take blocks off the queue.
func (t *fakeTarget) start() *fakeTarget {
	t.wg.Go(t.run)
	return t
}

func (t *fakeTarget) Plan() Plan           { return t.plan }
func (t *fakeTarget) Events() <-chan Event { return t.events }

func (t *fakeTarget) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *fakeTarget) Begin(_ context.Context, stripe uint32, length int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stripe != t.begun || length != t.layout(stripe).Length() {
		t.wrong = fmt.Errorf("stripe %d began with %d bytes, want stripe %d with %d", stripe, length, t.begun, t.layout(stripe).Length())
	}
	t.begun++
	if t.begin != nil && stripe > 0 {
		return t.begin
	}
	return nil
}

func (t *fakeTarget) Block(ctx context.Context, b wire.Block, body []byte, owner Releaser) error {
	t.mu.Lock()
	t.under++
	n := t.arrived
	t.mu.Unlock()
	if t.refuse != nil && n >= t.after {
		t.release(owner)
		return t.refuse
	}
	select {
	case <-t.over:
	default:
		select {
		case t.queue <- sent{b, body, owner}:
			return nil
		case <-ctx.Done():
			t.release(owner)
			return ctx.Err()
		case <-t.over:
		}
	}
	t.release(owner)
	return wire.ErrClosed
}

func (t *fakeTarget) release(owner Releaser) {
	t.mu.Lock()
	t.under--
	t.mu.Unlock()
	owner.Release()
}

func (t *fakeTarget) run() {
	defer close(t.events)
	for {
		if t.stuck {
			<-t.over
		}
		select {
		case s := <-t.queue:
			t.take(s)
		case <-t.over:
			for {
				select {
				case s := <-t.queue:
					t.release(s.owner)
				default:
					return
				}
			}
		}
	}
}

func (t *fakeTarget) take(s sent) {
	place := wire.Place{Stripe: s.b.Stripe, Chunk: s.b.Chunk}
	t.mu.Lock()
	if wire.Checksum(t.plan.Version, s.b.Stripe, s.b.Chunk, s.b.Index, s.body) != s.b.Sum {
		t.wrong = fmt.Errorf("wrong sum of %+v", s.b)
	}
	id := s.b
	id.Sum = 0
	t.blocks[id] = append([]byte(nil), s.body...)
	t.arrived++
	again := t.resend[place] > 0
	if again {
		t.resend[place]--
		t.resent++
		for have := range t.blocks {
			if have.Stripe == place.Stripe && have.Chunk == place.Chunk {
				delete(t.blocks, have)
			}
		}
	}
	settle := !again && !t.settled[place.Stripe] && t.complete(place.Stripe)
	if settle {
		t.settled[place.Stripe] = true
	}
	shut := t.closed != nil && t.arrived >= t.shut
	t.mu.Unlock()
	t.release(s.owner)
	switch {
	case shut:
		t.end(t.closed)
	case again:
		t.emit(Event{Stripe: place.Stripe, Resend: true, Chunk: place.Chunk})
	case settle:
		t.emit(Event{Stripe: place.Stripe})
	}
}

func (t *fakeTarget) emit(e Event) {
	select {
	case t.events <- e:
	case <-t.over:
	}
}

func (t *fakeTarget) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.over:
	default:
		t.err = err
		close(t.over)
	}
}

// layout is that of a stripe of the object.
func (t *fakeTarget) layout(stripe uint32) erasure.Layout {
	length := min(t.plan.Stripe, t.size-int64(stripe)*t.plan.Stripe)
	return erasure.NewLayout(length, t.plan.Shape.Data, t.plan.Shape.Parity)
}

func (t *fakeTarget) complete(stripe uint32) bool {
	l := t.layout(stripe)
	for c := range l.Chunks() {
		for j := range l.Blocks(c, wire.BlockSize) {
			if t.blocks[wire.Block{Stripe: stripe, Chunk: uint16(c), Index: uint32(j)}] == nil {
				return false
			}
		}
	}
	return true
}

func (t *fakeTarget) Commit(ctx context.Context, size int64, stripes uint32) (object.PutResult, error) {
	if t.commit != nil {
		return object.PutResult{}, t.commit
	}
	want := uint32((t.size + t.plan.Stripe - 1) / t.plan.Stripe)
	if size != t.size || stripes != want {
		return object.PutResult{}, fmt.Errorf("commit of %d bytes in %d stripes, want %d in %d", size, stripes, t.size, want)
	}
	for {
		t.mu.Lock()
		done := len(t.settled) == int(stripes)
		t.mu.Unlock()
		if done {
			t.mu.Lock()
			t.committed = size
			t.mu.Unlock()
			t.end(nil)
			return object.PutResult{Stored: true, Info: object.Info{Size: size, Version: t.plan.Version}}, nil
		}
		select {
		case <-ctx.Done():
			return object.PutResult{}, ctx.Err()
		case <-t.over:
			return object.PutResult{}, wire.ErrClosed
		case <-pause():
		}
	}
}

func (t *fakeTarget) Abort() {
	t.mu.Lock()
	t.aborted = true
	t.mu.Unlock()
	t.end(wire.ErrCanceled)
}

// chunk joins the blocks of a chunk.
func (t *fakeTarget) chunk(stripe uint32, c int) []byte {
	var all []byte
	for j := range t.layout(stripe).Blocks(c, wire.BlockSize) {
		all = append(all, t.blocks[wire.Block{Stripe: stripe, Chunk: uint16(c), Index: uint32(j)}]...)
	}
	return all
}
