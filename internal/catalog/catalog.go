// Package catalog is the proxy's memory of which objects exist and where their
// chunks are: versions that are staged, committed, pinned and freed, expiry,
// CLOCK eviction of whole objects, and the cause of every miss. It is pure
// bookkeeping: it moves no bytes, starts no goroutine and keeps no ticker.
//
// Per key, the newest version is the one committed last. Version numbers are
// given when a Put begins, because checksums cover them; so of two Puts of a key
// that overlap, the one that commits last wins even if its number is lower.
//
// Every version's chunks are given to Config.OnFree exactly once, when neither a
// name nor a pin needs them any more. No method but SetExpiry calls back with a
// lock held, so that callbacks may use the catalog; the Journal may not.
//
// With a Journal, what was acknowledged holds after a restart: a call that
// replaced or deleted something, or made it expire sooner, returns when that is
// on disk, and so does one that saw a version which is not. An error of such a
// call that matches wire.ErrUnavailable means that this is not known in time; the
// key is a miss then, if anything that a restart could take back was seen.
package catalog

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// epochShift leaves 2^36 versions to an epoch and 2^28 epochs to a pool.
	epochShift = 36
	maxEpoch   = 1<<(64-epochShift) - 1
	maxCounter = 1<<epochShift - 1

	// buckets is how many parts the keys are hashed into: each has its own lock,
	// and Scan goes through them in order.
	buckets = 1024
)

// Config says how a catalog behaves.
type Config struct {
	// Epoch of the proxy's reign, 0 to 2^28-1: the upper bits of its versions.
	Epoch uint64
	// Ghosts is for how many keys that became a miss the cause is remembered, at
	// 8 bytes each: rounded up to a multiple of 8,192; 0 means 131,072 (1 MiB).
	// Raise it where more than that many objects are evicted between a key's
	// eviction and its next read, and the cause of the miss matters.
	Ghosts int
	// OnFree is told of chunks that nobody needs any more, once per version; nil
	// throws the news away. It is called by whoever caused it, with no lock held.
	OnFree func(Freed)
	// Journal is told of what is committed; nil keeps nothing.
	Journal Journal
}

// Catalog holds the objects of one pool. It is safe for concurrent use.
type Catalog struct {
	epoch   uint64
	onFree  func(Freed)
	journal Journal
	seed    maphash.Seed // random, so that nobody can aim keys at one bucket

	// Locks are taken in this order: a Staged's, one bucket's (Flush takes all, in
	// order), then clock's or due's.
	buckets [buckets]bucket
	clock   clock
	due     due

	counter       atomic.Uint64 // of versions
	objects       atomic.Int64
	bytes         atomic.Int64
	staged        atomic.Int64
	pins          atomic.Int64
	detached      atomic.Int64
	detachedBytes atomic.Int64
	ghosts        atomic.Int64
}

// bucket is the part of the catalog whose keys share their lowest hash bits.
type bucket struct {
	mu      sync.Mutex
	objects map[string]*version
	staged  map[*Staged]struct{}
	ghosts  []ghostSet
}

// New makes an empty catalog. Its error names everything that is wrong with cfg.
func New(cfg Config) (*Catalog, error) {
	var errs []error
	if cfg.Epoch > maxEpoch {
		errs = append(errs, fmt.Errorf("epoch is %d, allowed are 0 to %d", cfg.Epoch, uint64(maxEpoch)))
	}
	if cfg.Ghosts < 0 || cfg.Ghosts > maxGhosts {
		errs = append(errs, fmt.Errorf("ghosts is %d, allowed are 0 to %d", cfg.Ghosts, maxGhosts))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	if cfg.Ghosts == 0 {
		cfg.Ghosts = defaultGhosts
	}
	if cfg.Journal == nil {
		cfg.Journal = forgetful{}
	}
	c := &Catalog{epoch: cfg.Epoch, onFree: cfg.OnFree, journal: cfg.Journal, seed: maphash.MakeSeed()}
	sets := (cfg.Ghosts + buckets*ghostWays - 1) / (buckets * ghostWays)
	table := make([]ghostSet, sets*buckets)
	for i := range c.buckets {
		b := &c.buckets[i]
		b.objects = map[string]*version{}
		b.ghosts = table[i*sets : (i+1)*sets : (i+1)*sets]
	}
	return c, nil
}

// locate finds the bucket of a key. Its error matches wire.ErrKey.
func (c *Catalog) locate(key string) (*bucket, uint64, error) {
	if len(key) == 0 || len(key) > wire.MaxKey {
		return nil, 0, wire.Errorf(wire.CodeKey, "%d bytes, allowed are 1 to %d", len(key), wire.MaxKey)
	}
	hash := maphash.String(c.seed, key)
	return c.bucket(hash), hash, nil
}

func (c *Catalog) bucket(hash uint64) *bucket { return &c.buckets[hash%buckets] }

// Stats is the catalog in numbers. They are read one after the other, so that
// under load they need not fit together exactly.
type Stats struct {
	Objects       int   // current versions
	Bytes         int64 // object bytes of those
	Staged        int   // versions begun and neither committed nor given up
	Pins          int   // pins not yet released
	Detached      int   // versions that lost their name and wait for their last pin
	DetachedBytes int64 // object bytes of those
	Ghosts        int   // keys whose cause of a miss is remembered
}

// Stats reports the catalog in numbers.
func (c *Catalog) Stats() Stats {
	return Stats{
		Objects:       c.Len(),
		Bytes:         c.Bytes(),
		Staged:        int(c.staged.Load()),
		Pins:          int(c.pins.Load()),
		Detached:      int(c.detached.Load()),
		DetachedBytes: c.detachedBytes.Load(),
		Ghosts:        int(c.ghosts.Load()),
	}
}

// Len is the number of objects. One that expired counts until it is noticed: by
// a call that names it, or by ExpireDue.
func (c *Catalog) Len() int { return int(c.objects.Load()) }

// Bytes is the sum of the sizes of the objects that Len counts; chunks take
// (d+p)/d of it.
func (c *Catalog) Bytes() int64 { return c.bytes.Load() }
