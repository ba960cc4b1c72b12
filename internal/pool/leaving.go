package pool

import (
	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/wire"
)

// makeWay has the instance that leaves at the ordinary seat go on at the second one,
// on a platform that starts the next meanwhile: what leaves, of however many nodes at
// once, has somewhere to go, and nobody waits for the node. Its machine goes with it,
// and begins no session any more. While an invocation is on its way that machine
// stays: what that brings is not known.
func (s *seat) makeWay(after []func()) []func() {
	n := s.n
	driver := n.pool.cfg.Driver
	_, overlapping := driver.(platform.Overlapping)
	if s != n.ordinary() || !overlapping || driver.Capabilities().SecondInstance || s.machine.Phase() == lifecycle.Waking {
		return after
	}
	last := n.seats[second]
	if p := last.machine.Phase(); p != lifecycle.Asleep && p != lifecycle.Resting || len(last.queued) > 0 {
		return after // the one before is still leaving
	}
	for _, t := range last.timers {
		t.Stop()
	}
	n.seats[ordinary], n.seats[second] = newSeat(n, s.machine.Successor()), s
	return n.tellHeld(after)
}

// Succeeded tells whether a chunk at a place is held by an instance that leaves while
// the node's next one takes new chunks.
func (p *Pool) Succeeded(at catalog.Place) bool {
	n := p.node(at.Node)
	if at.Instance == 0 || n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lots[at.Instance]
	s := n.seats[second]
	return l != nil && !n.leaving && s.current != nil && s.current.leaving && l.heldBy(s.current)
}

// noticed tells that the instance which requests reach ends soon.
func (n *node) noticed() bool {
	i := n.ordinary().current
	return i != nil && i.leaving
}

// Staying lists the nodes that are good for new chunks in the long run: nobody
// empties them, and their instances have had no notice.
func (p *Pool) Staying() []uint32 {
	var nodes []uint32
	for _, n := range p.all() {
		n.mu.Lock()
		if !n.leaving && !n.noticed() {
			nodes = append(nodes, n.id)
		}
		n.mu.Unlock()
	}
	return nodes
}

// Lasting is how many nodes take chunks when those have left that are being
// emptied. Drained ones do not count.
func (p *Pool) Lasting() (count int) {
	for _, n := range p.all() {
		n.mu.Lock()
		if !n.leaving {
			count++
		}
		n.mu.Unlock()
	}
	return count
}

// Stays tells whether a chunk at a place is held by an instance that can be read
// from, has had no notice, and plays a node that stays in the pool.
func (p *Pool) Stays(at catalog.Place) bool {
	n := p.node(at.Node)
	if at.Instance == 0 || n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lots[at.Instance]
	if l == nil || n.leaving {
		return false
	}
	for _, s := range n.seats {
		here := s == n.ordinary() || s.awake()
		if here && l.heldBy(s.current) && !s.current.leaving {
			return true
		}
	}
	return false
}

// Leaves tells whether a chunk at a place is held by an instance, and by no other
// that has had no notice.
func (p *Pool) Leaves(at catalog.Place, id wire.Instance) bool {
	n := p.node(at.Node)
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l, i := n.lots[at.Instance], n.withID(id)
	if l == nil || !l.heldBy(i) {
		return false
	}
	for _, other := range l.holders {
		if other.instance != i && !other.leaving {
			return false
		}
	}
	return true
}

// Hold keeps an instance from sleeping, if it is in session or on its way out,
// until release is called; an instance that is told to end otherwise does so when
// nothing was asked of it for a moment.
func (p *Pool) Hold(node uint32, id wire.Instance) (release func()) {
	n := p.node(node)
	if n == nil {
		return func() {}
	}
	change := func(s *seat, f func(*seat, []func()) []func()) {
		n.mu.Lock()
		after := f(s, nil)
		n.mu.Unlock()
		run(after)
	}
	n.mu.Lock()
	i := n.withID(id)
	var at *seat
	for _, s := range n.seats {
		if i != nil && s.current == i && (at == nil || s.machine.Phase() != lifecycle.Asleep) {
			at = s
		}
	}
	n.mu.Unlock()
	if at == nil {
		return func() {}
	}
	change(at, (*seat).keep)
	return func() { change(at, (*seat).unkeep) }
}
