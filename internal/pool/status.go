package pool

import "time"

// Status describes a node at one instant.
type Status struct {
	Node      uint32
	State     string // phase of its lifecycle, or drained
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
	nodes := p.all()
	all := make([]Status, len(nodes))
	for i, n := range nodes {
		all[i] = n.status()
	}
	return all
}

func (n *node) status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.ordinary()
	s := Status{
		Node: n.id, State: o.machine.Phase().String(), Instances: len(n.instances),
		Capacity: n.pool.cfg.Capacity, Reserved: n.reserved,
		Sessions: n.meter.invocations, Cold: n.meter.cold, Billed: n.meter.billed, Memory: n.meter.memory,
		Dead: n.dead(),
	}
	if n.drained {
		s.State = "drained"
	}
	if i := o.current; i != nil {
		s.Instance, s.Capacity, s.Held = i.id.String(), i.capacity, i.held
	}
	for _, seat := range n.seats {
		s.Queued += len(seat.queued)
		if seat.link != nil {
			s.InFlight += len(seat.link.calls)
		}
	}
	return s
}

// Awake is how many nodes are in session now.
func (p *Pool) Awake() int {
	count := 0
	for _, n := range p.all() {
		n.mu.Lock()
		if n.ordinary().serving() {
			count++
		}
		n.mu.Unlock()
	}
	return count
}

// InstancesLost is how many instances' holdings were known gone so far.
func (p *Pool) InstancesLost() uint64 { return p.lost.Load() }
