package catalog

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Delete makes a key a miss and reports whether it held something. With take it
// also pins what it held; the caller releases it. Its error matches wire.ErrKey,
// or wire.ErrUnavailable: the key is a miss then, but may not be after a restart.
func (c *Catalog) Delete(key string, take bool) (existed bool, taken *Pin, err error) {
	b, _, err := c.locate(key)
	if err != nil {
		return false, nil, err
	}
	var (
		freed []*version
		w     wait
	)
	b.mu.Lock()
	v := c.current(b, key, time.Now(), &freed)
	if v != nil {
		if take {
			taken = c.pin(v)
		}
		w = c.remove(b, v, wire.CauseDeleted, &freed)
	} else {
		w = c.journal.Settled(key)
	}
	b.mu.Unlock()
	err = settle(w)
	c.free(freed)
	if err != nil && taken != nil {
		taken.Release()
		taken = nil
	}
	return v != nil, taken, err
}

// Lose makes a version that is beyond repair a miss with the cause given,
// usually wire.CauseLost, and frees what is left of it. It reports false if the
// version is not the newest of its key. It does not wait for the journal: a
// restart may bring the version back, as damaged as it was.
func (c *Catalog) Lose(key string, number uint64, cause wire.Cause) bool {
	b, _, err := c.locate(key)
	if err != nil {
		return false
	}
	var freed []*version
	b.mu.Lock()
	v := b.objects[key]
	ok := v != nil && v.number == number
	if ok {
		c.remove(b, v, cause, &freed)
	}
	b.mu.Unlock()
	c.free(freed)
	return ok
}

// Flush deletes every object, in one step, and returns how many there were. Its
// error matches wire.ErrUnavailable: all keys are misses then, but may not be
// after a restart. It holds everything up meanwhile: a fifth of a second for
// 100,000 objects, on one core.
func (c *Catalog) Flush() (n int, err error) {
	var freed []*version
	for i := range c.buckets {
		c.buckets[i].mu.Lock()
	}
	w := c.journal.Clear()
	now := time.Now()
	for i := range c.buckets {
		b := &c.buckets[i]
		for _, v := range b.objects {
			cause := wire.CauseExpired
			if !v.expired(now) {
				cause = wire.CauseDeleted
				n++
			}
			c.detach(b, v, cause, &freed)
		}
		b.mu.Unlock()
	}
	err = settle(w)
	c.free(freed)
	return n, err
}
