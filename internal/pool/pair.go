package pool

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// Pair is two instances of a node in session at once, held awake so that chunks
// can be copied from one to the other.
type Pair struct {
	n     *node
	sides [seats]*instance // by seat
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
	var after []func()
	for _, s := range n.seats {
		after = s.keep(after)
	}
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

// cut closes the lots of the two instances: what they store from here on is not
// part of this backup. It reports false if they are not in session both.
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
	if pr.sides[First] == pr.sides[Second] {
		return false
	}
	for _, i := range pr.sides {
		if i.open.chunks > 0 {
			n.openLot(i)
		}
	}
	return true
}

// raise wakes a seat for a backup and returns when an instance is in session
// there.
func (s *seat) raise(ctx context.Context) error {
	n := s.n
	for range maxRaises {
		n.mu.Lock()
		if s.awake() {
			n.mu.Unlock()
			return nil
		}
		up := make(chan struct{})
		s.arrived = append(s.arrived, func() []func() { close(up); return nil })
		after := s.stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke, Cause: lifecycle.Backup}, nil)
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
	var after []func()
	for _, s := range n.seats {
		after = s.unkeep(after)
	}
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

// List has a side name what it stored since it held nothing that the other lacks,
// the newest first; see Pool.List. Where the other lacks nothing, nothing is asked.
func (pr *Pair) List(ctx context.Context, side Side, visit func(wire.Held)) error {
	since, ok := pr.since(side)
	if !ok {
		return nil
	}
	_, err := pr.n.list(ctx, pr.sides[side], since, lifecycle.Backup, visit)
	return err
}
