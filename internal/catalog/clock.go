package catalog

import (
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// clock is the ring of current versions that CLOCK's hand goes round. A version
// joins behind the hand, so that the hand comes to it last.
type clock struct {
	mu   sync.Mutex
	hand *version // the next to be looked at; nil if the ring is empty
	len  int
}

func (k *clock) add(v *version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.len++
	if k.hand == nil {
		v.next, v.prev = v, v
		k.hand = v
		return
	}
	v.next, v.prev = k.hand, k.hand.prev
	v.prev.next, v.next.prev = v, v
}

func (k *clock) remove(v *version) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.len--
	if k.hand == v {
		k.hand = v.next
	}
	if k.hand == v {
		k.hand = nil
	}
	v.prev.next, v.next.prev = v.next, v.prev
	v.next, v.prev = nil, nil
}

// step moves the hand on and returns what it pointed at; nil in an empty ring.
func (k *clock) step() *version {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := k.hand
	if v != nil {
		k.hand = v.next
	}
	return v
}

// steps is how many steps two rounds take.
func (k *clock) steps() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return 2 * k.len
}

// Evict removes the object that CLOCK gives up next and returns what it was; its
// key is a miss with cause evicted. Only objects with a chunk at a place that
// match accepts count; nil accepts all, empty objects included. Of those the
// hand passes over what is pinned, and over what was read since it last came by,
// which is then no longer marked as read; an expired one it takes anyway. Evict
// gives up, with false, after two rounds. match is called often and should be
// quick. Evict does not wait for the journal: a restart may bring the object back,
// without its chunks.
func (c *Catalog) Evict(match func(Place) bool) (object.Info, bool) {
	var scratch []Place
	for range c.clock.steps() {
		v := c.clock.step()
		if v == nil {
			break
		}
		if match != nil {
			scratch = c.placesOf(v, scratch[:0])
			if !anyPlace(scratch, match) {
				continue
			}
		}
		if i, ok := c.evict(v); ok {
			return i, true
		}
	}
	return object.Info{}, false
}

// placesOf appends all places of a version to dst.
func (c *Catalog) placesOf(v *version, dst []Place) []Place {
	b := c.bucket(v.hash)
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(dst, v.places...)
}

// anyPlace tells whether match accepts a place that holds a chunk.
func anyPlace(places []Place, match func(Place) bool) bool {
	for _, p := range places {
		if p.Instance != 0 && match(p) {
			return true
		}
	}
	return false
}

// evict removes v unless it deserves to stay.
func (c *Catalog) evict(v *version) (object.Info, bool) {
	var freed []*version
	b := c.bucket(v.hash)
	b.mu.Lock()
	cause := wire.CauseEvicted
	if v.expired(time.Now()) {
		cause = wire.CauseExpired
	}
	switch {
	case v.gone || v.pins > 0:
	case v.ref && cause == wire.CauseEvicted:
		v.ref = false
	default:
		c.remove(b, v, cause, &freed)
	}
	i := v.info()
	b.mu.Unlock()
	c.free(freed)
	return i, freed != nil
}
