package proxy

import (
	"sync"

	"github.com/infinicache/infinicache/internal/wire"
)

// uploads are the versions under way. The zero value has none.
type uploads struct {
	mu  sync.Mutex
	all map[*upload]struct{}
}

func (us *uploads) add(u *upload) {
	us.mu.Lock()
	defer us.mu.Unlock()
	if us.all == nil {
		us.all = map[*upload]struct{}{}
	}
	us.all[u] = struct{}{}
}

func (us *uploads) remove(u *upload) {
	us.mu.Lock()
	defer us.mu.Unlock()
	delete(us.all, u)
}

// on lists the uploads with a chunk on one of nodes, kept there or on its way, and
// those that are wider than the pool is without: stay is how many others it has.
func (us *uploads) on(nodes map[uint32]bool, stay int) (found []*upload) {
	us.mu.Lock()
	list := make([]*upload, 0, len(us.all))
	for u := range us.all {
		list = append(list, u)
	}
	us.mu.Unlock()
	for _, u := range list {
		if u.reaches(nodes, stay) {
			found = append(found, u)
		}
	}
	return found
}

// reaches tells whether the version has a chunk on one of nodes, or is too wide for
// the others.
func (u *upload) reaches(nodes map[uint32]bool, stay int) bool {
	u.mu.Lock()
	defer u.unlock()
	if u.over {
		return false
	}
	if u.plan.Shape.Data+u.plan.Shape.Parity > stay {
		return true
	}
	for _, s := range u.stripes {
		for i := range s.chunks {
			if c := &s.chunks[i]; nodes[c.node] && (c.acked || !c.over) {
				return true
			}
		}
	}
	return false
}

// errShrunk is the error of a write that a smaller pool leaves no place for.
var errShrunk = wire.Errorf(wire.CodeUnavailable, "the pool became smaller while the object was written")

// giveUp ends the uploads listed, as a failure of theirs.
func (us *uploads) giveUp(list []*upload) {
	for _, u := range list {
		u.mu.Lock()
		u.fail(errShrunk)
		u.unlock()
	}
}
