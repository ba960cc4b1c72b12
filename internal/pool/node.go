package pool

import (
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// The seats of a node: sessions of two instances of it can run at once, one at
// each. Ordinary requests use the first. The second is for an instance that the
// first has not got: the peer replica of a backup, one that is unheard, or one that
// leaves while the next is there already.
const (
	ordinary = iota
	second
	seats
)

// node is one place of the pool: what its instances hold, what is promised to
// stores, and the seats at which instances are in session. Everything of it and
// of its seats is guarded by mu. What calls back to the outside is collected and
// called after mu is released.
type node struct {
	pool *Pool
	id   uint32

	mu        sync.Mutex
	seats     [seats]*seat
	sessions  uint64      // number of the last one, at whichever seat
	instances []*instance // that may hold something
	holdings  *lifecycle.Holdings
	gone      []wire.Instance // that were given up in this reign, the last ones
	released  []wire.Instance // that were released in this reign, the last ones
	doubted   time.Time       // the platform is not asked which instance is next before
	adopts    bool            // instances may hold something of an earlier reign
	lots      map[uint32]*lot
	reserved  int64     // bytes promised to stores not yet answered
	quiet     time.Time // not invoked before: an instance is about to return
	hushed    bool      // one of an earlier reign was refused
	leaving   bool      // it takes no new chunks
	drained   bool      // it leaves and holds nothing, until it is admitted
	meter     meter
}

func newNode(p *Pool, id uint32) (*node, error) {
	n := &node{pool: p, id: id, lots: map[uint32]*lot{}, holdings: &lifecycle.Holdings{}}
	for i := range n.seats {
		cfg := p.cfg.Lifecycle
		cfg.FirstSession = 1
		cfg.Seed = p.cfg.Seed + uint64(id) + uint64(i)<<32
		cfg.Holdings = n.holdings
		cfg.Replicas = p.cfg.Driver.Capabilities().SecondInstance
		if every := p.cfg.WarmEvery; i == ordinary && every > 0 {
			cfg.WarmEvery, cfg.WarmPhase = every, lifecycle.WarmPhase(id, every)
		}
		m, err := lifecycle.NewNode(cfg)
		if err != nil {
			return nil, err
		}
		n.seats[i] = newSeat(n, m)
	}
	return n, nil
}

// ordinary is the seat that requests use unless they are for an instance at the
// other.
func (n *node) ordinary() *seat { return n.seats[ordinary] }

// seatOf is the seat at which a session is, or was last.
func (n *node) seatOf(session uint64) *seat {
	if s := n.seats[second]; s.machine.Session() == session {
		return s
	}
	return n.ordinary()
}

// seatFor is where a chunk of a lot is to be asked for: where one of the holders
// is in session, else the ordinary seat.
func (n *node) seatFor(l *lot) *seat {
	for _, s := range n.seats {
		if s.awake() && l.heldBy(s.current) {
			return s
		}
	}
	return n.ordinary()
}

// answerPatience is how long a node may take to answer what it has all of. A link
// on which it takes longer is not in step with it.
const answerPatience = 30 * time.Second

// watch lets the machines look at links on which requests wait for an answer, and
// closes those whose answers do not come, whatever else does.
func (n *node) watch() {
	n.mu.Lock()
	var after []func()
	for _, s := range n.seats {
		if s.link == nil || len(s.link.calls) == 0 {
			continue
		}
		after = s.hear(after)
		after = s.stepLocked(lifecycle.Event{Kind: lifecycle.OnPoke}, after)
		if l := s.link; l != nil && l.owes(answerPatience) {
			l.conn.Close(wire.Errorf(wire.CodeTimeout, "node %d did not answer a request within %v", n.id, answerPatience))
		}
	}
	n.mu.Unlock()
	run(after)
}

// owes tells whether an answer is late by more than patience.
func (l *nodeLink) owes(patience time.Duration) bool {
	for _, c := range l.calls {
		if !c.owed.IsZero() && time.Since(c.owed) > patience {
			return true
		}
	}
	return false
}

// stop ends all that the node does.
func (n *node) stop() {
	for _, s := range n.seats {
		s.step(lifecycle.Event{Kind: lifecycle.OnStop})
	}
}

// free is how many bytes the node can still take, as far as is known.
func (n *node) free() int64 {
	if i := n.ordinary().current; i != nil {
		return n.roomIn(i)
	}
	return n.pool.cfg.Capacity - n.reserved
}

// roomIn is how many bytes an instance can still take. What is promised to stores
// goes to the one at the ordinary seat.
func (n *node) roomIn(i *instance) int64 {
	room := i.capacity - i.held - i.coming
	if i == n.ordinary().current {
		room -= n.reserved
	}
	return room
}

// rememberedGone is how many instances that were given up a node remembers.
const rememberedGone = 16

// forget drops an instance whose holdings are known gone. Lots that nobody else
// holds are lost with it.
func (n *node) forget(id wire.Instance) []func() {
	i := n.withID(id)
	if i == nil {
		return nil
	}
	n.pool.lost.Add(1)
	n.pool.log.Info("instance lost", "node", n.id, "instance", id, "bytes", i.held)
	return n.dismiss(i)
}

// dismiss has an instance be none of the node's any more. It drops what it holds
// if it speaks again.
func (n *node) dismiss(i *instance) []func() {
	n.instances = without(n.instances, i)
	n.gone = append(n.gone[max(0, len(n.gone)+1-rememberedGone):], i.id)
	for _, s := range n.seats {
		if s.current == i {
			s.current = nil
		}
	}
	return n.disown(i)
}

// disown has an instance hold nothing.
func (n *node) disown(i *instance) (after []func()) {
	for number, l := range n.lots {
		if !l.heldBy(i) {
			continue
		}
		l.holders = slices.DeleteFunc(slices.Clone(l.holders), func(h holder) bool { return h.instance == i })
		if len(l.holders) > 0 {
			n.tellHolders(l)
			continue
		}
		n.dropLot(l)
		if f := n.pool.cfg.OnLost; f != nil {
			after = append(after, func() { f(n.id, number) })
		}
	}
	return after
}
