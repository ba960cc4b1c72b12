package pool

import (
	"slices"

	"github.com/infinicache/infinicache/internal/wire"
)

// astray is an instance that holds something, has no link, and is not the one that would
// be given the node's next session: what is deployed has changed while the proxy was away. Such an
// instance is invoked by itself, so that it can be told to hand over. Each is tried
// twice at most.
func (n *node) astray(next string) (wire.Instance, bool) {
	if next == "" {
		return wire.Instance{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.unlinked(next)
	if i == nil {
		return wire.Instance{}, false
	}
	i.reached++
	n.pool.log.Info("an instance is sought that another one has outlived", "node", n.id, "instance", i.id)
	return i.id, true
}

// seeks tells whether an instance holds something that is not reached.
func (n *node) seeks() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unlinked("") != nil
}

// unlinked is an instance that holds something, has no link, and was not sought in
// vain; nil if there is none but the one named. The mutex is held.
func (n *node) unlinked(but string) *instance {
	for _, i := range n.instances {
		linked := slices.ContainsFunc(n.seats[:], func(s *seat) bool { return s.link != nil && s.link.instance == i })
		if !linked && i.id.String() != but && i.reached < maxReach && n.holdsAny(i) {
			return i
		}
	}
	return nil
}
