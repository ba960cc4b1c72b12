package proxy

import (
	"context"
	"slices"
	"sync"
)

// apart sees to it that chunks of one stripe that move at the same time do not end
// up on one node: the catalog does not name their new places yet. The zero value is
// ready.
type apart struct {
	mu      sync.Mutex
	stripes map[stripeOf]*moving
}

type stripeOf struct {
	version uint64
	stripe  uint32
}

// moving is a stripe of which chunks move. apart's mutex guards it, but for to.
type moving struct {
	users int
	turn  chan struct{} // capacity 1: whose token it is may choose a node
	to    []uint32      // nodes that were chosen and that the catalog does not name yet; the token's
}

// choose has pick name a node for a chunk of a stripe, one chunk after the other.
// pick is given the nodes that other chunks are on their way to. done is called
// when the catalog names the node, or is not going to; it is nil after an error.
func (a *apart) choose(ctx context.Context, s stripeOf, pick func(others []uint32) (uint32, error)) (node uint32, done func(), err error) {
	a.mu.Lock()
	m := a.stripes[s]
	if m == nil {
		m = &moving{turn: make(chan struct{}, 1)}
		if a.stripes == nil {
			a.stripes = map[stripeOf]*moving{}
		}
		a.stripes[s] = m
	}
	m.users++
	a.mu.Unlock()
	leave := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if m.users--; m.users == 0 {
			delete(a.stripes, s)
		}
	}
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		leave()
		return 0, nil, context.Cause(ctx)
	}
	if node, err = pick(m.to); err == nil {
		m.to = append(m.to, node)
	}
	<-m.turn
	if err != nil {
		leave()
		return 0, nil, err
	}
	return node, func() {
		m.turn <- struct{}{}
		i := slices.Index(m.to, node)
		m.to = slices.Delete(slices.Clone(m.to), i, i+1)
		<-m.turn
		leave()
	}, nil
}
