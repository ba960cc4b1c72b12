package catalog

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Delete makes a key a miss and reports whether it held something. With take it
// also pins what it held; the caller releases it. Its error matches wire.ErrKey.
func (c *Catalog) Delete(key string, take bool) (existed bool, taken *Pin, err error) {
	b, _, err := c.locate(key)
	if err != nil {
		return false, nil, err
	}
	var freed []*version
	b.mu.Lock()
	v := c.current(b, key, time.Now(), &freed)
	if v != nil {
		if take {
			taken = c.pin(v)
		}
		c.detach(b, v, wire.CauseDeleted, &freed)
	}
	b.mu.Unlock()
	c.free(freed)
	return v != nil, taken, nil
}

// Lose makes a version that is beyond repair a miss with the cause given,
// usually wire.CauseLost, and frees what is left of it. It reports false if the
// version is not the newest of its key.
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
		c.detach(b, v, cause, &freed)
	}
	b.mu.Unlock()
	c.free(freed)
	return ok
}

// Flush deletes every object and returns how many there were. It goes bucket by
// bucket: an object that is committed while it runs may stay.
func (c *Catalog) Flush() int {
	n := 0
	for i := range c.buckets {
		b := &c.buckets[i]
		var freed []*version
		b.mu.Lock()
		now := time.Now()
		for _, v := range b.objects {
			cause := wire.CauseExpired
			if !v.expired(now) {
				cause = wire.CauseDeleted
				n++
			}
			c.detach(b, v, cause, &freed)
		}
		b.mu.Unlock()
		c.free(freed)
	}
	return n
}
