package pool

import (
	"context"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/wire"
)

// nextPatience is how long the platform may take to say which instance is next.
const nextPatience = 3 * time.Second

const (
	// doubtFor is how long the platform is not believed that another instance stands
	// ready, after one that was released for that had a session again.
	doubtFor = 10 * time.Minute
	// rememberedReleased is how many released instances a node remembers.
	rememberedReleased = 4
)

// Outlived tells whether the platform would give the next session of a node to
// another instance than the one that speaks for it now and holds something: what is
// deployed has changed, and the old instance is there only for as long as it is kept.
// It is false where the platform cannot tell, or was wrong of late, or the instance
// cannot be reached.
func (p *Pool) Outlived(ctx context.Context, node uint32) (wire.Instance, bool) {
	n := p.node(node)
	if n == nil {
		return wire.Instance{}, false
	}
	id, reached := n.speaker()
	if !reached {
		return wire.Instance{}, false
	}
	next := n.next(ctx)
	return id, next != "" && next != id.String()
}

// speaker is the instance that speaks for the node, if it can be reached, holds
// something and has had no notice; false, too, while the platform is not believed.
func (n *node) speaker() (wire.Instance, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.ordinary()
	i := s.current
	if i == nil || s.link == nil || s.link.instance != i || i.leaving || !n.holdsAny(i) || time.Now().Before(n.doubted) {
		return wire.Instance{}, false
	}
	return i.id, true
}

// next is the instance that the platform would give the node's next session; empty
// where it cannot tell.
func (n *node) next(ctx context.Context) string {
	driver, ok := n.pool.cfg.Driver.(platform.Overlapping)
	if !ok {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, nextPatience)
	defer cancel()
	next, err := driver.Next(ctx, int(n.id))
	if err != nil {
		return ""
	}
	return next
}

// InSession tells whether an instance of a node takes requests now.
func (p *Pool) InSession(node uint32) bool {
	n := p.node(node)
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ordinary().awake()
}

// Release gives an instance notice in the platform's place: what it holds moves to
// other nodes in that time, and it takes no further session. Whether it hears of it
// is told by Config.OnLeaving.
func (p *Pool) Release(node uint32, id wire.Instance, left time.Duration) {
	n := p.node(node)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.seats {
		if l := s.link; l != nil && l.instance != nil && l.instance.id == id {
			s.answer(l.number, wire.TypeNotice, uint64(left.Milliseconds()))
			if l.instance.released.IsZero() {
				l.instance.released = time.Now()
			}
			n.released = append(n.released[max(0, len(n.released)+1-rememberedReleased):], id)
			return
		}
	}
}

// Replaced tells, by a token, that a node was about to be invoked whose instance
// another one has outlived: others of the pool are likely to be in that state.
func (p *Pool) Replaced() <-chan struct{} { return p.replaced }

// ReleaseFor is how long an instance has that is released because another one takes
// its place.
const ReleaseFor = 25 * time.Second

// hearsFor is how long an instance that was released may take to say that it leaves.
const hearsFor = 2 * time.Second

// tellReplaced gives Replaced its token.
func (p *Pool) tellReplaced() {
	select {
	case p.replaced <- struct{}{}:
	default: // somebody was told already
	}
}

// releasedPart is which part of the pool's nodes give way at once, at least one: the
// others take over what those hold.
const releasedPart = 8

// ReleaseInTurn gives an instance that another one has outlived ReleaseFor to hand
// over, unless enough others do so: then it says false.
func (p *Pool) ReleaseInTurn(node uint32, id wire.Instance) bool {
	p.releasing.Lock()
	defer p.releasing.Unlock()
	all := p.all()
	most := max(1, len(all)/releasedPart)
	for _, n := range all {
		if n.id == node || !n.givesWay() {
			continue
		}
		if most--; most == 0 {
			return false
		}
	}
	p.Release(node, id, ReleaseFor)
	return true
}

// givesWay tells whether an instance of the node had its notice, or was released a
// moment ago and has not said a word yet.
func (n *node) givesWay() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.instances, func(i *instance) bool {
		return i.leaving || !i.released.IsZero() && time.Since(i.released) < hearsFor
	})
}

// deaf tells whether an instance was released a while ago and has not said a word: its
// machine may have died, and the link be the last to know.
func (n *node) deaf(id wire.Instance) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.withID(id)
	return i != nil && !i.released.IsZero() && !i.leaving && time.Since(i.released) > hearsFor
}

// returns notes that an instance speaks of which nothing is known here, or any more.
// One that was released gave everything away for nothing.
func (n *node) returns(id wire.Instance) {
	if slices.Contains(n.released, id) {
		n.doubted = time.Now().Add(doubtFor)
		n.pool.log.Warn("an instance was released for another one that never came", "node", n.id, "instance", id)
	}
}

// Knows tells whether an instance is in the books of a node: whether it may hold
// something.
func (p *Pool) Knows(node uint32, id wire.Instance) bool {
	n := p.node(node)
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.withID(id) != nil
}
