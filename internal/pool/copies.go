package pool

import (
	"math"

	"github.com/infinicache/infinicache/internal/wire"
)

// copies are the chunks of a lot that a backup has given an instance which does
// not hold all of it yet. It holds the lot when they are as many as the lot has.
type copies struct {
	costs map[wire.Chunk]int64
	after uint64 // a position in the instance's changes before all of them
}

// addCopy notes that the instance has a copy.
func (i *instance) addCopy(l *lot, d dead) {
	c := i.copies[l]
	if c == nil {
		if i.copies == nil {
			i.copies = map[*lot]*copies{}
		}
		c = &copies{costs: map[wire.Chunk]int64{}, after: i.position}
		i.copies[l] = c
	}
	c.costs[d.chunk] = d.cost
}

// dropCopy forgets a copy and tells whether there was one.
func (i *instance) dropCopy(l *lot, chunk wire.Chunk) bool {
	c := i.copies[l]
	if c == nil {
		return false
	}
	_, had := c.costs[chunk]
	delete(c.costs, chunk)
	return had
}

// buryCopies has the copies of a lot be dead.
func (i *instance) buryCopies(l *lot) {
	if c := i.copies[l]; c != nil {
		for chunk, cost := range c.costs {
			i.bury(dead{chunk, cost})
		}
		delete(i.copies, l)
	}
}

// copied is how many chunks of a lot the instance has a copy of.
func (i *instance) copied(l *lot) int {
	if c := i.copies[l]; c != nil {
		return len(c.costs)
	}
	return 0
}

// lacks tells whether a closed lot is held by one side of the pair, the one given,
// and by the other not.
func (pr *Pair) lacks(from Side, l *lot) bool {
	return !l.open() && l.heldBy(pr.sides[from]) && !l.heldBy(pr.sides[from.Other()])
}

// since is the position of a side's changes after which everything was stored that
// the other side lacks. ok is false if that is nothing.
func (pr *Pair) since(side Side) (position uint64, ok bool) {
	n, other := pr.n, pr.sides[side.Other()]
	n.mu.Lock()
	defer n.mu.Unlock()
	position = math.MaxUint64
	for _, l := range n.lots {
		if pr.lacks(side, l) && other.copied(l) < l.chunks {
			position, ok = min(position, l.holder(pr.sides[side]).after), true
		}
	}
	return position, ok
}

// Lacks tells whether a chunk of a lot is held by one side only, the one given, and
// was stored there before the pair was made.
func (pr *Pair) Lacks(from Side, lot uint32, chunk wire.Chunk) bool {
	pr.n.mu.Lock()
	defer pr.n.mu.Unlock()
	l := pr.n.lots[lot]
	if l == nil || !pr.lacks(from, l) {
		return false
	}
	c := pr.sides[from.Other()].copies[l]
	if c == nil {
		return true
	}
	_, had := c.costs[chunk]
	return !had
}

// Claim makes the sides holders of the lots all of whose chunks they have by now. A
// chunk that was not copied, because no version in force names it, yet or any more,
// keeps its lot for a later backup; the copies that were made count there.
func (pr *Pair) Claim() {
	n := pr.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, from := range [...]Side{First, Second} {
		other := pr.sides[from.Other()]
		if n.withID(other.id) != other {
			continue // it was lost meanwhile
		}
		for _, l := range n.lots {
			c := other.copies[l]
			if c == nil || !pr.lacks(from, l) || len(c.costs) != l.chunks {
				continue
			}
			l.holders = append(l.holders[:len(l.holders):len(l.holders)], holder{other, c.after})
			delete(other.copies, l)
			n.tellHolders(l)
		}
	}
}
