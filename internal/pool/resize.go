package pool

import (
	"fmt"

	"github.com/infinicache/infinicache/internal/lifecycle"
)

// resize makes the pool have so many nodes.
func (p *Pool) resize(count int) error {
	var now []*node
	if old := p.nodes.Load(); old != nil {
		now = *old
	}
	grown := append([]*node(nil), now[:min(count, len(now))]...)
	for len(grown) < count {
		n, err := newNode(p, uint32(len(grown)))
		if err != nil {
			return err
		}
		// Instances of an earlier node of that number may exist: they refuse the
		// sessions that it had, and what they hold is in nobody's books.
		n.sessions = p.removed[n.id]
		n.adopts = now == nil && p.cfg.Adopt
		grown = append(grown, n)
	}
	p.nodes.Store(&grown)
	for _, n := range now[min(count, len(now)):] {
		p.removed[n.id] = n.retire()
	}
	return nil
}

// retire ends all that a node does and holds, and gives the number of its last
// session.
func (n *node) retire() (session uint64) {
	n.mu.Lock()
	n.leaving = true
	var after []func()
	for _, s := range n.seats {
		after = s.stepLocked(lifecycle.Event{Kind: lifecycle.OnStop}, after)
	}
	for _, i := range n.instances {
		after = append(after, n.disown(i)...)
	}
	n.instances = nil
	session = n.sessions
	n.mu.Unlock()
	run(after)
	return session
}

// Resize changes how many nodes the pool has. New ones are asleep and empty.
// Those that leave, the highest numbers, are stopped: what they hold is lost, so it
// is moved before; see Leave. It is not called by two at a time.
func (p *Pool) Resize(count int) error {
	if count < 1 || count > MaxNodes {
		return fmt.Errorf("pool of %d nodes, allowed are 1 to %d", count, MaxNodes)
	}
	return p.resize(count)
}

// Leave says whether a node is to take no new chunks, because what it holds is
// being moved away.
func (p *Pool) Leave(node uint32, leaving bool) {
	if n := p.node(node); n != nil {
		n.mu.Lock()
		n.leaving = leaving
		n.mu.Unlock()
	}
}
