package pool

import (
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// lot is what one instance was given to store between two backups. Its number is
// the Instance of a catalog.Place. A backup makes another instance of the node a
// holder of all of it; so which chunks an instance holds is known without a list
// of them. It is guarded by its node's mutex.
type lot struct {
	number  uint32
	holders []holder
	chunks  int // that were acknowledged, or restored, and not freed
}

// holder is an instance that holds all of a lot.
type holder struct {
	*instance
	after uint64 // a position in its changes at which it held nothing of the lot
}

func (l *lot) heldBy(i *instance) bool { return l.holder(i) != nil }

// holder is what an instance is to the lot; nil if it does not hold it.
func (l *lot) holder(i *instance) *holder {
	for k := range l.holders {
		if l.holders[k].instance == i {
			return &l.holders[k]
		}
	}
	return nil
}

// open tells whether more will be stored in the lot.
func (l *lot) open() bool {
	return slices.ContainsFunc(l.holders, func(h holder) bool { return h.open == l })
}

// openLot begins a lot of an instance.
func (n *node) openLot(i *instance) *lot {
	l := &lot{number: n.pool.lots.Add(1), holders: []holder{{i, i.position}}}
	n.lots[l.number] = l
	i.open = l
	n.tellHolders(l)
	return l
}

// tellHolders tells the outside who holds a lot.
func (n *node) tellHolders(l *lot) {
	f := n.pool.cfg.OnHolders
	if f == nil {
		return
	}
	ids := make([]wire.Instance, len(l.holders))
	for k, h := range l.holders {
		ids[k] = h.id
	}
	f(n.id, l.number, ids)
}

// dwindle counts a chunk of a lot out. An empty one is forgotten, unless more
// will come to it.
func (n *node) dwindle(l *lot) {
	l.chunks--
	n.prune(l)
}

// tellHeld tells the ordinary machine whether there is something worth keeping
// warm.
func (n *node) tellHeld(after []func()) []func() {
	return n.ordinary().stepLocked(lifecycle.Event{Kind: lifecycle.OnHolds, Number: uint64(n.chunks())}, after)
}

// chunks is how many chunks the node's instances hold that were not freed.
func (n *node) chunks() int {
	sum := 0
	for _, l := range n.lots {
		sum += l.chunks
	}
	return max(sum, 0)
}

// prune forgets an empty lot, unless more will come to it.
func (n *node) prune(l *lot) {
	if l.chunks > 0 || n.lots[l.number] != l || l.open() {
		return
	}
	n.dropLot(l)
}

// dropLot forgets a lot. What was copied of it elsewhere is of no use.
func (n *node) dropLot(l *lot) {
	delete(n.lots, l.number)
	for _, i := range n.instances {
		i.buryCopies(l)
	}
	l.holders = nil
	n.tellHolders(l)
}

// Holds tells whether an instance holds the lot of a place.
func (p *Pool) Holds(at catalog.Place, id wire.Instance) bool {
	n := p.node(at.Node)
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lots[at.Instance]
	return l != nil && l.heldBy(n.withID(id))
}

// Adopted counts a chunk that an instance stored in an earlier reign into the lot
// to which its new ones belong, and says where that is. Free counts it out again.
// ok is false if the instance is not known.
func (p *Pool) Adopted(node uint32, id wire.Instance) (at catalog.Place, ok bool) {
	n := p.node(node)
	if n == nil {
		return catalog.Place{}, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.withID(id)
	if i == nil || i.open == nil {
		return catalog.Place{}, false
	}
	i.open.chunks++
	i.open.holder(i).after = 0 // it was stored long ago
	return catalog.Place{Node: node, Instance: i.open.number}, true
}

// exposed tells whether the two instances that spoke last at the seats do not both
// hold a lot. Where only one has spoken, its holders are counted: that one of them
// exists is hearsay.
func (n *node) exposed(l *lot) bool {
	a, b := n.seats[ordinary].current, n.seats[second].current
	if a == nil || b == nil || a == b {
		return len(l.holders) < 2
	}
	return !l.heldBy(a) || !l.heldBy(b)
}

// Exposed is how many chunks of a node a backup would have another instance hold.
func (p *Pool) Exposed(node uint32) int {
	n := p.node(node)
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := 0
	for _, l := range n.lots {
		if n.exposed(l) {
			sum += l.chunks
		}
	}
	return sum
}

// settleFor is how long after the start of a reign that takes holdings over no
// node is invoked: an instance of it may be in a session still, will find its link
// broken, dial, be refused and return. One that is refused shortens it, see hush.
const settleFor = 300 * time.Millisecond

// Remember tells of a lot of an earlier reign: a catalog that was restored names
// chunks places in it. Lots come in the order of their numbers, so that of a
// node's instances the one that was given one last is taken for the one that the
// platform wakes next. It is called before Run. Without holders, or for a node
// that the pool has not got, the number is taken, and what it held is lost.
func (p *Pool) Remember(node, number uint32, holders []wire.Instance, chunks int) {
	for last := p.lots.Load(); last < number && !p.lots.CompareAndSwap(last, number); last = p.lots.Load() {
	}
	n := p.node(node)
	if n == nil || len(holders) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &lot{number: number, chunks: chunks}
	for _, id := range holders {
		i := n.withID(id)
		if i == nil {
			i = &instance{id: id, capacity: p.cfg.Capacity, unverified: true}
			n.instances = append(n.instances, i)
		}
		i.paired = i.paired || len(holders) > 1
		n.holdings.Remember(p.now(), id, i.paired)
		l.holders = append(l.holders, holder{instance: i})
	}
	n.ordinary().current = l.holders[0].instance
	n.lots[number] = l
	n.prune(l)
}

// without is s less one element, in memory of its own.
func without[E comparable](s []E, e E) []E {
	i := slices.Index(s, e)
	if i < 0 {
		return s
	}
	return append(slices.Clone(s[:i]), s[i+1:]...)
}
