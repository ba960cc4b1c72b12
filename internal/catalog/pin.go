package catalog

import (
	"sync/atomic"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// Pin keeps the chunks of one version from being freed. It is safe for
// concurrent use; what it tells stays valid after Release.
type Pin struct {
	c        *Catalog
	v        *version
	released atomic.Bool
}

// pin adds a pin to a version whose bucket is locked.
func (c *Catalog) pin(v *version) *Pin {
	v.pins++
	c.pins.Add(1)
	return &Pin{c: c, v: v}
}

// Open pins the newest version of a key and marks it as read, which puts its
// eviction off. Its error matches wire.ErrNotFound, with the cause of the miss,
// wire.ErrKey, or wire.ErrUnavailable.
func (c *Catalog) Open(key string) (*Pin, error) {
	var p *Pin
	err := c.find(key, func(v *version, now time.Time) {
		v.ref = true
		v.read = uint32(now.Unix())
		p = c.pin(v)
	})
	if err != nil && p != nil {
		p.Release()
		p = nil
	}
	return p, err
}

// Stat describes the newest version of a key and leaves it as it is. Errors are
// those of Open.
func (c *Catalog) Stat(key string) (object.Info, error) {
	var i object.Info
	err := c.find(key, func(v *version, _ time.Time) { i = v.info() })
	if err != nil {
		i = object.Info{}
	}
	return i, err
}

// Describe is Stat in the form that crosses the wire.
func (c *Catalog) Describe(key string) (wire.Record, error) {
	var r wire.Record
	err := c.find(key, func(v *version, _ time.Time) { r = v.record() })
	if err != nil {
		r = wire.Record{}
	}
	return r, err
}

// PinVersion pins a version, for instance to repair it, without marking it as
// read; nil if it is not the newest of its key, or expired.
func (c *Catalog) PinVersion(key string, number uint64) *Pin {
	var p *Pin
	err := c.find(key, func(v *version, _ time.Time) {
		if v.number == number {
			p = c.pin(v)
		}
	})
	if err != nil && p != nil {
		p.Release()
		p = nil
	}
	return p
}

// find calls use with the newest version of a key while its bucket is locked, or
// returns why there is none. If it fails after use, what use found may not be
// shown. use does not leave this package.
func (c *Catalog) find(key string, use func(*version, time.Time)) error {
	b, hash, err := c.locate(key)
	if err != nil {
		return err
	}
	var freed []*version
	var w wait
	b.mu.Lock()
	now := time.Now()
	v := c.current(b, key, now, &freed)
	if v != nil {
		use(v, now)
		w = v.unsafe
	} else {
		err = b.miss(hash)
	}
	b.mu.Unlock()
	c.free(freed)
	if w != nil {
		err = c.show(v, w)
	}
	return err
}

// Info describes the version as it is now: its expiry may change while it is
// current.
func (p *Pin) Info() object.Info {
	b := p.c.bucket(p.v.hash)
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.v.info()
}

// Record is Info in the form that crosses the wire; of a sealed version it has the
// size of the sealed form.
func (p *Pin) Record() wire.Record {
	b := p.c.bucket(p.v.hash)
	b.mu.Lock()
	defer b.mu.Unlock()
	return p.v.record()
}

// Places appends where the chunks of a stripe are, one for each of the d+p, to
// dst; nothing if there is no such stripe.
func (p *Pin) Places(stripe uint32, dst []Place) []Place {
	b := p.c.bucket(p.v.hash)
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(dst, p.v.row(stripe)...)
}

// SetPlace moves a chunk from old to new and reports whether it did: only if old
// is still its place and the version is still current. The chunk at the place
// that lost, new after false and old after true, is the caller's to free.
func (p *Pin) SetPlace(stripe uint32, chunk int, old, new Place) bool {
	b := p.c.bucket(p.v.hash)
	b.mu.Lock()
	defer b.mu.Unlock()
	row := p.v.row(stripe)
	if p.v.gone || chunk < 0 || chunk >= len(row) || row[chunk] != old {
		return false
	}
	row[chunk] = new
	p.c.journal.Move(p.v.number, int(stripe)*p.v.chunks()+chunk, new)
	return true
}

// Release gives the pin up. Calling it again does nothing.
func (p *Pin) Release() {
	if p.released.Swap(true) {
		return
	}
	c, v := p.c, p.v
	b := c.bucket(v.hash)
	b.mu.Lock()
	v.pins--
	last := v.gone && v.pins == 0
	b.mu.Unlock()
	c.pins.Add(-1)
	if last {
		c.detached.Add(-1)
		c.detachedBytes.Add(-v.size)
		c.free([]*version{v})
	}
}
