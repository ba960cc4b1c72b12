package pool

import (
	"math"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/spend"
	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// instance is what is known of one container or process that played a node. It
// is guarded by its node's mutex.
type instance struct {
	id       wire.Instance
	capacity int64
	held     int64                // bytes of chunks there, dead ones included
	dead     map[wire.Chunk]int64 // chunks to be let go of, and their costs
	// deadBytes is the sum of dead's costs.
	deadBytes int64
	open      *lot   // to which what it stores belongs; nil before its first hello in this reign
	position  uint64 // in its changes, at its last hello
	coming    int64  // bytes of copies on their way to it
	copies    map[*lot]*copies
	born      time.Time // first hello
	// unverified: what it holds dates from an earlier reign and was not compared
	// with the catalog yet.
	unverified bool
	// landed are the chunks of earlier reigns that were sent here while what the
	// instance holds is compared; nil if it is not. See Disown.
	landed  map[wire.Chunk]struct{}
	paired  bool // it was in session together with another one
	leaving bool // the platform ends it soon
	// released is when it was first told to give way since it spoke last; zero if it
	// was not.
	released time.Time
	reached  int // how often it was sought at the second seat since it spoke last
}

// State is what can be said of a place without asking the node.
type State uint8

const (
	Lost    State = iota // nobody holds the chunk
	Unheard              // another instance plays the node now
	Asleep               // readable after waking the node, or when it answers again, or slowly
	Ready                // readable at once
)

func (s State) String() string {
	return [...]string{"lost", "unheard", "asleep", "ready"}[s]
}

// State tells how readable chunks at a place are.
func (p *Pool) State(at catalog.Place) State {
	n := p.node(at.Node)
	if at.Instance == 0 || n == nil {
		return Lost
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stateOf(at.Instance)
}

func (n *node) stateOf(number uint32) State {
	l := n.lots[number]
	if l == nil {
		return Lost
	}
	for _, s := range n.seats {
		if s.serving() && l.heldBy(s.current) {
			if s.late() {
				return Asleep
			}
			return Ready
		}
	}
	if l.heldBy(n.ordinary().current) {
		return Asleep
	}
	return Unheard
}

func (n *node) withID(id wire.Instance) *instance {
	for _, i := range n.instances {
		if i.id == id {
			return i
		}
	}
	return nil
}

// Candidates lists every node that may take new chunks as placement sees it, in
// order.
func (p *Pool) Candidates() []placement.Candidate {
	nodes := p.all()
	cs := make([]placement.Candidate, 0, len(nodes))
	broke := p.Breaker().Tripped != spend.None
	for _, n := range nodes {
		n.mu.Lock()
		if !n.leaving {
			phase := n.ordinary().machine.Phase()
			cs = append(cs, placement.Candidate{
				Node: n.id, Free: n.free(),
				Barred: phase == lifecycle.Resting || broke && phase == lifecycle.Asleep || n.noticed(),
			})
		}
		n.mu.Unlock()
	}
	return cs
}

// Reserve sets bytes of a node aside for a Store to come; false if it has not
// so many. A Store takes the reservation over; who never calls it gives it back
// with Unreserve.
func (p *Pool) Reserve(node uint32, bytes int64) bool {
	n := p.node(node)
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.leaving || n.free() < bytes {
		return false
	}
	n.reserved += bytes
	return true
}

// Unreserve gives back what Reserve set aside.
func (p *Pool) Unreserve(node uint32, bytes int64) {
	n := p.node(node)
	if n == nil {
		return
	}
	n.mu.Lock()
	n.reserved -= bytes
	n.mu.Unlock()
}

// Cost is how many bytes a chunk of size bytes takes in an instance, its record
// and index entry included.
func Cost(size, record int) int64 { return store.Cost(int64(size), record) }

// speaks makes the instance of a hello the seat's current one and takes over
// what it says of itself; at a hello nothing is in flight, so that is exact.
// drop tells that it holds chunks of which nothing is known here, because it was
// given up as lost or is of a reign that left no journal; the welcome tells it to
// drop them.
func (s *seat) speaks(h *wire.Hello) (drop bool, after []func()) {
	n := s.n
	i := n.withID(h.Instance)
	if i == nil {
		n.returns(h.Instance)
		i = &instance{id: h.Instance, born: time.Now()}
		n.instances = append(n.instances, i)
		if h.Chunks > 0 {
			i.unverified = n.adopts && !slices.Contains(n.gone, i.id)
			drop = !i.unverified
		}
	}
	i.position = h.Position
	if i.open == nil {
		n.openLot(i)
	}
	i.capacity = int64(min(h.Capacity, math.MaxInt64))
	i.held = int64(min(h.Used, math.MaxInt64))
	if drop {
		i.held = 0
	}
	i.reached, i.released = 0, time.Time{}
	s.current = i
	for _, o := range n.seats {
		if o != s && o.awake() && o.current != i {
			i.paired, o.current.paired = true, true
		}
	}
	if i.unverified && n.pool.cfg.OnHeard != nil {
		i.unverified, i.landed = false, map[wire.Chunk]struct{}{}
		after = append(after, func() { n.pool.cfg.OnHeard(n.id, i.id) })
	}
	return drop, after
}

// Compared says that the comparison that OnHeard asked for is over. If it did not
// come to its end it is asked for again at the instance's next hello.
func (p *Pool) Compared(node uint32, id wire.Instance, whole bool) {
	n := p.node(node)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := n.withID(id); i != nil {
		i.unverified, i.landed = !whole, nil
	}
}
