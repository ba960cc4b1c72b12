package catalog

import (
	"container/heap"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// due orders the current versions that expire by when they do.
type due struct {
	mu   sync.Mutex
	heap dueHeap
}

// set gives a version whose bucket is locked another expiry, in Unix
// milliseconds; 0 is never.
func (d *due) set(v *version, expires int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v.expires = expires
	switch {
	case expires == 0:
		d.drop(v)
	case v.slot < 0:
		heap.Push(&d.heap, v)
	default:
		heap.Fix(&d.heap, int(v.slot))
	}
}

func (d *due) remove(v *version) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(v)
}

func (d *due) drop(v *version) {
	if v.slot >= 0 {
		heap.Remove(&d.heap, int(v.slot))
	}
}

// first is the version that expires next if it has by now; nil otherwise.
func (d *due) first(now time.Time) *version {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.heap) == 0 || !d.heap[0].expired(now) {
		return nil
	}
	return d.heap[0]
}

// dueHeap implements heap.Interface; each version knows its slot in it.
type dueHeap []*version

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].expires < h[j].expires }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = int32(i), int32(j)
}

func (h *dueHeap) Push(x any) {
	v := x.(*version)
	v.slot = int32(len(*h))
	*h = append(*h, v)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	v := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	v.slot = -1
	return v
}

// SetExpiry lets the newest version of a key expire at another instant, if it
// shall: it asks decide, once, about the version that stands, and in the same
// step does what that says. The zero time means never, one that is over deletes
// the object. found reports whether there was a version to ask about, changed
// what decide said. The error matches wire.ErrKey, or wire.ErrUnavailable: then it
// is not known which expiry a restart would find.
//
// decide runs with a lock held: it must be quick, and must use neither the
// catalog nor its pins.
func (c *Catalog) SetExpiry(key string, decide func(object.Info) (at time.Time, change bool)) (found, changed bool, err error) {
	b, _, err := c.locate(key)
	if err != nil {
		return false, false, err
	}
	var freed []*version
	v, seen, w, changed, err := c.setExpiry(b, key, decide, &freed)
	if seen != nil && err == nil {
		err = c.show(v, seen)
	}
	if err == nil {
		err = settle(w)
	}
	c.free(freed)
	return v != nil, changed && err == nil, err
}

// setExpiry does what decide says. It returns the version, if there is one, and
// what to wait for: the version, which was seen, and the change.
func (c *Catalog) setExpiry(b *bucket, key string, decide func(object.Info) (time.Time, bool), freed *[]*version) (v *version, seen, w wait, changed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if v = c.current(b, key, now, freed); v == nil {
		return nil, nil, nil, false, nil
	}
	seen = v.unsafe
	at, changed := decide(v.info())
	switch {
	case !changed:
	case past(at, now):
		w = c.remove(b, v, wire.CauseDeleted, freed)
	default:
		expires := millis(at)
		if w, err = c.journal.Expire(v.number, expires); err != nil {
			return v, seen, nil, false, unavailable(err)
		}
		if expires == 0 || v.expires != 0 && expires >= v.expires {
			w = nil // a restart that forgets this lets the object expire too early
		}
		c.due.set(v, expires)
	}
	return v, seen, w, changed, nil
}

// ExpireDue removes objects that are expired at now, those that expired first
// before others, and returns how many. It stops after max; 0 means no limit. The
// caller runs it now and then, so that objects which nobody reads give back
// their room. It waits once for the journal, so that it is not faster.
func (c *Catalog) ExpireDue(now time.Time, max int) int {
	var w wait
	n := 0
	for max <= 0 || n < max {
		v := c.due.first(now)
		if v == nil {
			break
		}
		var freed []*version
		b := c.bucket(v.hash)
		b.mu.Lock()
		if !v.gone && v.expired(now) {
			w = c.remove(b, v, wire.CauseExpired, &freed)
			n++
		}
		b.mu.Unlock()
		c.free(freed)
	}
	_ = settle(w) // a restart finds them expired, too
	return n
}
