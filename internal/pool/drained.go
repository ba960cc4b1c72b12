package pool

import (
	"slices"

	"github.com/infinicache/infinicache/internal/lifecycle"
)

// Leave says whether a node is to take no new chunks, because what it holds is
// being moved away.
func (p *Pool) Leave(node uint32, leaving bool) {
	if n := p.node(node); n != nil {
		n.mu.Lock()
		n.leaving = leaving
		n.mu.Unlock()
	}
}

// Used is how many bytes of a node are promised to stores that are under way, or
// about to be, and how many chunks its instances hold that were not freed.
func (p *Pool) Used(node uint32) (promised int64, chunks int) {
	n := p.node(node)
	if n == nil {
		return 0, 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reserved, n.chunks()
}

// Emptied says that all was moved away from a node that leaves. It is drained until
// Admit.
func (p *Pool) Emptied(node uint32) {
	if n := p.node(node); n != nil {
		n.mu.Lock()
		n.drained = n.leaving
		n.mu.Unlock()
	}
}

// Drained tells whether a node is.
func (p *Pool) Drained(node uint32) bool {
	n := p.node(node)
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.drained
}

// Admit has a drained node take chunks again. Its instances that are not in session
// are forgotten, which is no loss, for they hold nothing that anybody needs: new
// ones may have taken their places, and one that speaks after all drops what it
// holds. A node that is not drained stays as it is.
func (p *Pool) Admit(node uint32) {
	n := p.node(node)
	if n == nil {
		return
	}
	n.mu.Lock()
	var after []func()
	if n.drained {
		n.leaving, n.drained = false, false
		for _, i := range n.instances {
			busy := func(s *seat) bool { return s.current == i && s.machine.Phase() != lifecycle.Asleep }
			if !slices.ContainsFunc(n.seats[:], busy) {
				after = append(after, n.dismiss(i)...)
			}
		}
		after = n.tellHeld(after)
	}
	n.mu.Unlock()
	run(after)
}
