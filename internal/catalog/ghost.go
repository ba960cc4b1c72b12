package catalog

import "github.com/infinicache/infinicache/internal/wire"

const (
	defaultGhosts = 1 << 17
	maxGhosts     = 1 << 27
	ghostWays     = 8
)

// A ghost is what remains of a key that became a miss: 56 bits of its hash and
// in the lowest byte the cause; 0 is no ghost. A set of them is a cache line,
// newest first, and forgets its oldest, so that the table never grows. Two keys
// that share a set and the 56 bits are taken for each other; all that can be
// wrong then is the cause of a miss.
type (
	ghost    uint64
	ghostSet [ghostWays]ghost
)

func (g ghost) of(hash uint64) bool { return g != 0 && uint64(g)>>8 == hash>>8 }

func (b *bucket) ghostSet(hash uint64) *ghostSet {
	return &b.ghosts[hash/buckets%uint64(len(b.ghosts))]
}

// cause says why a key without a current version is a miss. b is locked.
func (b *bucket) cause(hash uint64) wire.Cause {
	for _, g := range b.ghostSet(hash) {
		if g.of(hash) {
			return wire.Cause(g & 0xff)
		}
	}
	return wire.CauseNeverStored
}

// haunt remembers the cause for a key. b is locked.
func (c *Catalog) haunt(b *bucket, hash uint64, cause wire.Cause) {
	c.exorcise(b, hash)
	set := b.ghostSet(hash)
	if set[ghostWays-1] == 0 {
		c.ghosts.Add(1)
	}
	copy(set[1:], set[:ghostWays-1])
	set[0] = ghost(hash&^0xff | uint64(cause))
}

// exorcise forgets the cause for a key. b is locked.
func (c *Catalog) exorcise(b *bucket, hash uint64) {
	set := b.ghostSet(hash)
	for i, g := range set {
		if g.of(hash) {
			copy(set[i:], set[i+1:])
			set[ghostWays-1] = 0
			c.ghosts.Add(-1)
			return
		}
	}
}

// misses are the errors of Open and Stat, one for each cause, so that a miss
// allocates nothing. They are shared and never written.
var misses = func() (m [wire.Causes]*wire.Error) {
	for i := range m {
		m[i] = wire.Miss(wire.Cause(i))
	}
	return m
}()

// miss is the error for a key without a current version. b is locked.
func (b *bucket) miss(hash uint64) error { return misses[b.cause(hash)] }
