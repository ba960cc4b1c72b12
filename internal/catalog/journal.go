package catalog

import (
	"context"

	"github.com/infinicache/infinicache/internal/wire"
)

// Journal is told of every change of what is committed, in the order of the
// changes of each key: it is called with the key's lock held, and must not block
// or use the catalog. The wait functions that it returns are called later, with
// no lock held: they end with nil once the change, and all before it, will
// survive the end of the process, and with an error if that is not known within
// a bounded time. A nil one needs no waiting. package journal implements it.
type Journal interface {
	// Put tells of a version that became current and of the version that it
	// replaced, 0 for none. With an error the version does not become current.
	Put(r wire.Record, places []Place, replaced uint64) (wait func(context.Context) error, err error)
	// Remove tells of a version that is not current any more, for whatever reason.
	Remove(key string, version uint64) (wait func(context.Context) error)
	// Move tells of a chunk's new place, by its index among the places of Put.
	Move(version uint64, index int, p Place)
	// Expire tells of a new expiry in Unix milliseconds, 0 for never. With an
	// error the expiry stays as it is.
	Expire(version uint64, expires int64) (wait func(context.Context) error, err error)
	// Clear tells that nothing is current any more.
	Clear() (wait func(context.Context) error)
	// Settled is waited for before it is said that a key holds nothing.
	Settled(key string) (wait func(context.Context) error)
}

// wait is what a Journal returns.
type wait = func(context.Context) error

// forgetful is the Journal of a catalog that needs none.
type forgetful struct{}

func (forgetful) Put(wire.Record, []Place, uint64) (wait, error) { return nil, nil }
func (forgetful) Remove(string, uint64) wait                     { return nil }
func (forgetful) Move(uint64, int, Place)                        {}
func (forgetful) Expire(uint64, int64) (wait, error)             { return nil, nil }
func (forgetful) Clear() wait                                    { return nil }
func (forgetful) Settled(string) wait                            { return nil }

// settle waits. Nothing is locked. Its error matches wire.ErrUnavailable.
func settle(w wait) error {
	if w == nil {
		return nil
	}
	return unavailable(w(context.Background()))
}

// unavailable is the error for a change that the journal did not take.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return wire.Errorf(wire.CodeUnavailable, "the change is not safe on disk: %v", err)
}

// show waits until a version may be shown, whose wait function was w when it was
// looked at. If it is not known whether a restart would find the version or an
// older one, its key becomes a miss, and the error matches wire.ErrUnavailable.
func (c *Catalog) show(v *version, w wait) error {
	if w == nil {
		return nil
	}
	err := settle(w)
	var freed []*version
	b := c.bucket(v.hash)
	b.mu.Lock()
	v.unsafe = nil
	if err != nil && !v.gone {
		c.remove(b, v, wire.CauseEvicted, &freed)
	}
	b.mu.Unlock()
	c.free(freed)
	return err
}

// remove is detach for a version without a successor: the journal hears of it.
func (c *Catalog) remove(b *bucket, v *version, cause wire.Cause, freed *[]*version) wait {
	w := c.journal.Remove(v.key, v.number)
	c.detach(b, v, cause, freed)
	return w
}
