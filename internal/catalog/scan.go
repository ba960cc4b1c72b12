package catalog

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Scan lists keys in no order. It starts with cursor 0, and again with the
// cursor it returned, until that is 0. A key that exists from the first call to
// the last is listed exactly once; one that comes or goes meanwhile may be. A
// call returns about count keys, at least 1: it goes on to the end of the bucket
// it is in, a 1,024th of all keys. A cursor that Scan did not return ends the
// scan.
func (c *Catalog) Scan(cursor uint64, count int) (keys []string, next uint64) {
	for cursor < buckets {
		b := &c.buckets[cursor]
		b.mu.Lock()
		now := time.Now()
		for key, v := range b.objects {
			if !v.expired(now) {
				keys = append(keys, key)
			}
		}
		b.mu.Unlock()
		if cursor++; len(keys) >= max(count, 1) {
			break
		}
	}
	if cursor >= buckets {
		cursor = 0
	}
	return keys, cursor
}

// snapshot appends the current versions of a bucket to dst.
func (b *bucket) snapshot(dst []*version) []*version {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.objects {
		dst = append(dst, v)
	}
	return dst
}

// Each calls visit for the newest versions, in no order, until it returns false:
// once for every version that is the newest throughout, and perhaps for others.
// places has d+p entries for each stripe, stripe by stripe, and is valid during
// the call only.
func (c *Catalog) Each(visit func(r wire.Record, places []Place) bool) {
	var (
		all    []*version
		places []Place
	)
	for i := range c.buckets {
		b := &c.buckets[i]
		all = b.snapshot(all[:0])
		for _, v := range all {
			b.mu.Lock()
			r, gone := v.record(), v.gone
			places = append(places[:0], v.places...)
			b.mu.Unlock()
			if !gone && !visit(r, places) {
				return
			}
		}
	}
}
