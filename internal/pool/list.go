package pool

import (
	"context"
	"sync"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// List has an instance that is in session name the chunks that it stored after a
// position of its changes, the newest first, and returns the position it is at.
// visit is called from the link's goroutine, and must not keep what it is given.
// The error matches wire.ErrUnheard if another instance speaks.
func (p *Pool) List(ctx context.Context, node uint32, id wire.Instance, since uint64, cause lifecycle.Cause, visit func(wire.Held)) (uint64, error) {
	n := p.node(node)
	if n == nil {
		return 0, wire.ErrLost
	}
	n.mu.Lock()
	i := n.withID(id)
	n.mu.Unlock()
	if i == nil {
		return 0, wire.ErrLost
	}
	return n.list(ctx, i, since, cause, visit)
}

func (n *node) list(ctx context.Context, i *instance, since uint64, cause lifecycle.Cause, visit func(wire.Held)) (uint64, error) {
	type answer struct {
		position uint64
		err      error
	}
	got := make(chan answer, 1)
	var mu sync.Mutex // no visit outlives the list
	over := false
	defer func() {
		mu.Lock()
		over = true
		mu.Unlock()
	}()
	c := &Call{
		kind: callList, cause: cause, only: i, listAfter: since,
		visit: func(h wire.Held) {
			mu.Lock()
			defer mu.Unlock()
			if !over {
				visit(h)
			}
		},
		listed: func(position uint64, err error) { got <- answer{position, err} },
	}
	n.mu.Lock()
	s := n.at(i)
	if s == nil {
		n.mu.Unlock()
		return 0, wire.ErrUnheard
	}
	after := s.begin(c)
	n.mu.Unlock()
	run(after)
	select {
	case a := <-got:
		return a.position, a.err
	case <-ctx.Done():
		c.Cancel()
		<-got
		return 0, context.Cause(ctx)
	}
}

// at is the seat where an instance is in session; nil if it is not.
func (n *node) at(i *instance) *seat {
	for _, s := range n.seats {
		if s.current == i && s.awake() {
			return s
		}
	}
	return nil
}

// Discard has an instance let go of a chunk that the catalog does not name there.
// It was never counted in a lot.
func (p *Pool) Discard(node uint32, id wire.Instance, chunk wire.Chunk, cost int64) {
	p.discard(node, id, chunk, cost, false)
}

// Disown is Discard for a chunk that a comparison found; see OnHeard. One that was
// sent to the instance since the comparison began stays: the catalog is about to
// name it.
func (p *Pool) Disown(node uint32, id wire.Instance, chunk wire.Chunk, cost int64) {
	p.discard(node, id, chunk, cost, true)
}

func (p *Pool) discard(node uint32, id wire.Instance, chunk wire.Chunk, cost int64, old bool) {
	n := p.node(node)
	if n == nil {
		return
	}
	n.mu.Lock()
	var after []func()
	if i := n.withID(id); i != nil {
		if _, landed := i.landed[chunk]; !landed || !old {
			for l := range i.copies {
				i.dropCopy(l, chunk)
			}
			i.bury(dead{chunk, cost})
			after = n.freeSoon(i)
		}
	}
	n.mu.Unlock()
	run(after)
}
