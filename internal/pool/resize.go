package pool

import (
	"fmt"
	"slices"
	"time"

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
	retired := now[min(count, len(now)):]
	for _, n := range retired {
		p.removed[n.id] = n.retire()
	}
	for end := time.Now().Add(retirePatience); time.Now().Before(end) && slices.ContainsFunc(retired, (*node).inSession); {
		time.Sleep(retireLook)
	}
	return nil
}

const (
	// retirePatience is how long the sessions of nodes that were removed are waited
	// for. They end when their instances find that they are not welcome any more.
	// Were a number used again before, the platform would start a fresh instance
	// for it, and then wake the old one, which has nothing, in its place.
	retirePatience = 2 * time.Second
	retireLook     = 5 * time.Millisecond
)

// inSession tells whether an invocation of the node has not returned.
func (n *node) inSession() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.seats[:], func(s *seat) bool { return s.machine.Phase() != lifecycle.Asleep })
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
// is moved before; see Leave. Their sessions are waited for, for a moment. Resize is
// not called by two at a time.
func (p *Pool) Resize(count int) error {
	if count < 1 || count > MaxNodes {
		return fmt.Errorf("pool of %d nodes, allowed are 1 to %d", count, MaxNodes)
	}
	return p.resize(count)
}
