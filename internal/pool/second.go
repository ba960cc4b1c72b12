package pool

import "github.com/infinicache/infinicache/internal/lifecycle"

// maxReach is how many sessions at the second seat are spent on reaching an
// instance that is unheard.
const maxReach = 2

// Seek tries to have an instance speak that is unheard. A node that sleeps is
// woken: the platform chooses which instance, and each session that another one
// plays brings it nearer to being lost, so that it is neither waited for nor
// sought for ever. For one of two that exist side by side, or one of an earlier
// reign that has not spoken in this one, a second session is begun while another is
// awake, which the platform has to give to a different instance; twice at most.
func (p *Pool) Seek(node uint32) {
	n := p.node(node)
	if n == nil {
		return
	}
	n.mu.Lock()
	var after []func()
	switch {
	case n.ordinary().machine.Phase() == lifecycle.Asleep:
		after = n.ordinary().stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke}, nil)
	case n.ordinary().awake() && n.seats[second].machine.Phase() == lifecycle.Asleep &&
		n.pool.cfg.Driver.Capabilities().SecondInstance:
		sought := false
		for _, i := range n.instances {
			if i != n.ordinary().current && (i.paired || i.unverified) && i.reached < maxReach && n.holdsAny(i) {
				i.reached++
				sought = true
			}
		}
		if sought {
			after = n.reach(lifecycle.Serve, nil)
		}
	}
	n.mu.Unlock()
	run(after)
}

// holdsAny tells whether an instance holds a chunk that somebody may want.
func (n *node) holdsAny(i *instance) bool {
	for _, l := range n.lots {
		if l.chunks > 0 && l.heldBy(i) {
			return true
		}
	}
	return false
}

// reach begins a session at the second seat, unless there is one, and keeps the
// ordinary one awake until an instance has arrived there or it is over: were the
// first to return before, the platform could give it the second session too.
func (n *node) reach(cause lifecycle.Cause, after []func()) []func() {
	s := n.seats[second]
	if s.machine.Phase() != lifecycle.Asleep {
		return after
	}
	after = n.ordinary().keep(after)
	s.arrived = append(s.arrived, func() []func() { return n.ordinary().unkeep(nil) })
	return s.stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke, Cause: cause}, after)
}

// warmBoth extends a warm-up of a node to its other instance, if that holds
// something: the platform would take it otherwise.
func (n *node) warmBoth(after []func()) []func() {
	o := n.ordinary()
	if o.machine.Cause() != lifecycle.WarmUp || !n.pool.cfg.Driver.Capabilities().SecondInstance {
		return after
	}
	for _, i := range n.instances {
		if i != o.current && n.holdsAny(i) {
			return n.reach(lifecycle.WarmUp, after)
		}
	}
	return after
}
