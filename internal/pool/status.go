package pool

import (
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
)

// Status describes a node at one instant.
type Status struct {
	Node      uint32
	State     string // phase of its lifecycle
	Instance  string // that spoke last
	Instances int    // that may hold something
	Capacity  int64  // bytes
	Held      int64  // bytes, dead ones included
	Dead      int64  // bytes nobody needs that are not yet let go
	Reserved  int64  // bytes promised
	Memory    int64  // most bytes ever used, as the platform says
	Sessions  uint64
	Cold      uint64 // sessions that began with a fresh instance
	Billed    time.Duration
	InFlight  int // requests sent and not yet answered
	Queued    int // requests that wait for the node
}

// Status describes every node, in order.
func (p *Pool) Status() []Status {
	all := make([]Status, len(p.nodes))
	for i, n := range p.nodes {
		all[i] = n.status()
	}
	return all
}

func (n *node) status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Status{
		Node: n.id, State: n.machine.Phase().String(), Instances: len(n.instances),
		Capacity: n.pool.cfg.Capacity, Reserved: n.reserved, Queued: len(n.queued),
		Sessions: n.meter.invocations, Cold: n.meter.cold, Billed: n.meter.billed, Memory: n.meter.memory,
		Dead: n.freeing.bytes,
	}
	if i := n.current; i != nil {
		s.Instance, s.Capacity, s.Held = i.id.String(), i.capacity, i.held
		s.Dead += i.deadBytes
	}
	if n.link != nil {
		s.InFlight = len(n.link.calls)
	}
	return s
}

// Awake is how many nodes are in session now.
func (p *Pool) Awake() int {
	count := 0
	for _, n := range p.nodes {
		n.mu.Lock()
		if n.machine.Phase() == lifecycle.Awake {
			count++
		}
		n.mu.Unlock()
	}
	return count
}
