package pool

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// maxReach is how many sessions at the second seat are spent on reaching an
// instance that is unheard.
const maxReach = 2

// Seek tries to have an instance speak that is unheard. A node that sleeps is
// woken: the platform chooses which instance, and each session that another one
// plays brings it nearer to being lost, so that it is neither waited for nor
// sought for ever. For one of two that exist side by side, while the other is
// awake, a second session is begun, which the platform has to give to a different
// instance; twice at most.
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
	case n.ordinary().awake() && n.pool.cfg.Driver.Capabilities().SecondInstance:
		sought := false
		for _, i := range n.instances {
			if i != n.ordinary().current && i.paired && i.reached < maxReach && n.holdsAny(i) {
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
	after = n.keep(after)
	s.arrived = append(s.arrived, func() []func() { return n.unkeep(nil) })
	return s.stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke, Cause: cause}, after)
}

// keep has the ordinary session not end before unkeep.
func (n *node) keep(after []func()) []func() {
	if n.keepers++; n.keepers > 1 {
		return after
	}
	return n.ordinary().stepLocked(lifecycle.Event{Kind: lifecycle.OnKeep, Number: 1}, after)
}

func (n *node) unkeep(after []func()) []func() {
	if n.keepers--; n.keepers > 0 {
		return after
	}
	return n.ordinary().stepLocked(lifecycle.Event{Kind: lifecycle.OnKeep}, after)
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

// Pair is two instances of a node in session at once, held awake so that chunks
// can be copied from one to the other.
type Pair struct {
	n     *node
	sides [seats]*instance // by seat
	lots  [seats][]*lot    // that were closed when the pair was made, and what each held
}

// Pair brings both seats of a node up, for a backup. Its error matches
// wire.ErrUnavailable if the platform gives no second instance of the node now,
// or what waking gives. The caller ends the pair with Close.
func (p *Pool) Pair(ctx context.Context, node uint32) (*Pair, error) {
	n := p.node(node)
	if n == nil {
		return nil, wire.ErrLost
	}
	if !p.cfg.Driver.Capabilities().SecondInstance {
		return nil, wire.Errorf(wire.CodeUnavailable, "the platform runs one instance of a node")
	}
	n.mu.Lock()
	after := n.keep(nil)
	n.mu.Unlock()
	run(after)
	pr := &Pair{n: n}
	for _, s := range n.seats {
		if err := s.raise(ctx); err != nil {
			pr.Close()
			return nil, err
		}
	}
	if !pr.cut() {
		pr.Close()
		return nil, wire.Errorf(wire.CodeUnavailable, "node %d: another instance spoke meanwhile", n.id)
	}
	return pr, nil
}

// cut notes what the two instances hold: what they store from here on is not part
// of this backup. It reports false if they are not in session both.
func (pr *Pair) cut() bool {
	n := pr.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, s := range n.seats {
		if !s.awake() || s.current == nil {
			return false
		}
		pr.sides[k] = s.current
	}
	for k, i := range pr.sides {
		i.partial = true
		for _, l := range n.lots {
			if l.heldBy(i) {
				pr.lots[k] = append(pr.lots[k], l)
			}
		}
		n.openLot(i)
	}
	return true
}

// raise wakes a seat for a backup and returns when an instance is in session
// there, which stays until its keep is ended.
func (s *seat) raise(ctx context.Context) error {
	n := s.n
	for range maxRaises {
		n.mu.Lock()
		after := s.stepLocked(lifecycle.Event{Kind: lifecycle.OnKeep, Number: 1}, nil)
		if s.awake() {
			n.mu.Unlock()
			run(after)
			return nil
		}
		up := make(chan struct{})
		s.arrived = append(s.arrived, func() []func() { close(up); return nil })
		after = s.stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke, Cause: lifecycle.Backup}, after)
		n.mu.Unlock()
		run(after)
		select {
		case <-up:
		case <-time.After(raisePatience):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return wire.Errorf(wire.CodeUnavailable, "node %d does not wake", n.id)
}

const (
	// raisePatience is how long an instance is waited for before it is asked for
	// again.
	raisePatience = 5 * time.Second
	// maxRaises is how often it is.
	maxRaises = 4
)

// Close lets both instances sleep.
func (pr *Pair) Close() {
	n := pr.n
	n.mu.Lock()
	after := n.unkeep(nil)
	after = n.seats[second].stepLocked(lifecycle.Event{Kind: lifecycle.OnKeep}, after)
	n.mu.Unlock()
	run(after)
}

// Side is one of the two instances of a Pair.
type Side uint8

const (
	First  Side = ordinary // that ordinary requests reach
	Second Side = second   // the other one
)

// Other is the other side.
func (s Side) Other() Side { return second - s }

// List has a side name what it stored since the two were last in step, the newest
// first; see Pool.List.
func (pr *Pair) List(ctx context.Context, side Side, visit func(wire.Held)) error {
	pr.n.mu.Lock()
	i, other := pr.sides[side], pr.sides[side.Other()]
	since := i.synced[other.id]
	pr.n.mu.Unlock()
	position, err := pr.n.list(ctx, i, since, lifecycle.Backup, visit)
	if err != nil {
		return err
	}
	pr.n.mu.Lock()
	defer pr.n.mu.Unlock()
	if i.listed == nil {
		i.listed = map[wire.Instance]uint64{}
	}
	i.listed[other.id] = position
	return nil
}

// Lacks tells whether a chunk of a lot is held by one side only, the one given.
func (pr *Pair) Lacks(from Side, lot uint32) bool {
	pr.n.mu.Lock()
	defer pr.n.mu.Unlock()
	l := pr.n.lots[lot]
	return l != nil && l.heldBy(pr.sides[from]) && !l.heldBy(pr.sides[from.Other()])
}

// Claim says that everything that the sides held when the pair was made was
// copied: each of them holds all of it from now on.
func (pr *Pair) Claim() {
	n := pr.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, lots := range pr.lots {
		i, other := pr.sides[k], pr.sides[Side(k).Other()]
		if n.withID(i.id) != i || n.withID(other.id) != other {
			return // one was lost meanwhile
		}
		if i.synced == nil {
			i.synced = map[wire.Instance]uint64{}
		}
		i.synced[other.id] = i.listed[other.id]
		for _, l := range lots {
			if n.lots[l.number] == l && !l.heldBy(other) {
				l.holders = append(l.holders[:len(l.holders):len(l.holders)], other)
				n.tellHolders(l)
			}
		}
	}
	for _, i := range pr.sides {
		i.partial = false
	}
	for _, lots := range pr.lots {
		for _, l := range lots {
			n.prune(l)
		}
	}
}
