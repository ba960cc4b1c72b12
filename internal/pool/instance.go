package pool

import (
	"math"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// instance is what is known of one container or process that played a node. It
// is guarded by its node's mutex.
type instance struct {
	number   uint32 // the pool's short name for it
	id       wire.Instance
	capacity int64
	held     int64                // bytes of chunks there, dead ones included
	dead     map[wire.Chunk]int64 // chunks to be let go of, and their costs
	// deadBytes is the sum of dead's costs.
	deadBytes int64
	born      time.Time // first hello
}

// State is what can be said of a place without asking the node.
type State uint8

const (
	Lost    State = iota // the instance is known gone
	Unheard              // another instance plays the node now
	Asleep               // readable after waking the node
	Ready                // readable at once
)

func (s State) String() string {
	return [...]string{"lost", "unheard", "asleep", "ready"}[s]
}

// State tells how readable chunks at a place are.
func (p *Pool) State(at catalog.Place) State {
	if at.Instance == 0 || int(at.Node) >= len(p.nodes) {
		return Lost
	}
	n := p.nodes[at.Node]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stateOf(at.Instance)
}

// Seek wakes a sleeping node in the hope that an instance that is unheard
// speaks. Each session that another one plays instead brings it nearer to being
// lost, so that it is neither waited for nor sought for ever.
func (p *Pool) Seek(node uint32) {
	n := p.nodes[node]
	n.mu.Lock()
	var after []func()
	if n.machine.Phase() == lifecycle.Asleep {
		after = n.stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke}, nil)
	}
	n.mu.Unlock()
	run(after)
}

func (n *node) stateOf(instance uint32) State {
	switch i := n.known(instance); {
	case i == nil:
		return Lost
	case i != n.current:
		return Unheard
	case n.machine.Phase() == lifecycle.Awake:
		return Ready
	default:
		return Asleep
	}
}

func (n *node) known(number uint32) *instance {
	for _, i := range n.instances {
		if i.number == number {
			return i
		}
	}
	return nil
}

// free is how many bytes the node can still take, as far as is known.
func (n *node) free() int64 {
	capacity, held := n.pool.cfg.Capacity, int64(0)
	if n.current != nil {
		capacity, held = n.current.capacity, n.current.held
	}
	return capacity - held - n.reserved
}

// Candidates lists every node as placement sees it, in order.
func (p *Pool) Candidates() []placement.Candidate {
	cs := make([]placement.Candidate, len(p.nodes))
	for i, n := range p.nodes {
		n.mu.Lock()
		cs[i] = placement.Candidate{Node: n.id, Free: n.free(), Barred: n.machine.Phase() == lifecycle.Resting}
		n.mu.Unlock()
	}
	return cs
}

// Reserve sets bytes of a node aside for a Store to come; false if it has not
// so many. A Store takes the reservation over; who never calls it gives it back
// with Unreserve.
func (p *Pool) Reserve(node uint32, bytes int64) bool {
	n := p.nodes[node]
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.free() < bytes {
		return false
	}
	n.reserved += bytes
	return true
}

// Unreserve gives back what Reserve set aside.
func (p *Pool) Unreserve(node uint32, bytes int64) {
	n := p.nodes[node]
	n.mu.Lock()
	n.reserved -= bytes
	n.mu.Unlock()
}

// Cost is how many bytes a chunk of size bytes takes in an instance, its record
// and index entry included.
func Cost(size, record int) int64 { return store.Cost(int64(size), record) }

// speaks makes the instance of a hello the node's current one and takes over
// what it says of itself; at a hello nothing is in flight, so that is exact.
// drop tells that it holds chunks of which nothing is known here, because it was
// given up as lost; the welcome tells it to drop them.
func (n *node) speaks(h *wire.Hello) (drop bool) {
	var i *instance
	for _, k := range n.instances {
		if k.id == h.Instance {
			i = k
		}
	}
	if i == nil {
		i = &instance{number: n.pool.instances.Add(1), id: h.Instance, born: time.Now()}
		n.instances = append(n.instances, i)
		drop = h.Chunks > 0
	}
	i.capacity = int64(min(h.Capacity, math.MaxInt64))
	i.held = int64(min(h.Used, math.MaxInt64))
	if drop {
		i.held = 0
	}
	n.current = i
	return drop
}

// forget drops an instance whose holdings are known gone.
func (n *node) forget(id wire.Instance) []func() {
	for k, i := range n.instances {
		if i.id != id {
			continue
		}
		n.instances = append(n.instances[:k:k], n.instances[k+1:]...)
		if n.current == i {
			n.current = nil
		}
		n.pool.log.Info("instance lost", "node", n.id, "instance", id, "bytes", i.held)
		if f := n.pool.cfg.OnLost; f != nil {
			return []func(){func() { f(n.id, i.number) }}
		}
	}
	return nil
}
