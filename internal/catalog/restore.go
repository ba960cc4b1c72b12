package catalog

import (
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Restore makes a version of an earlier reign current, with places for the d+p
// chunks of each stripe, stripe by stripe, which are copied. It comes before
// anything else uses the catalog, and the journal, which knows the version, is
// not told of it. A version that is expired is left out, and the journal told.
//
// An error matches wire.ErrKey, or wire.ErrRequest: for a version of this epoch or
// a later one, which could collide with versions given out now, for a key that
// has a version already, and for places that the record does not need.
func (c *Catalog) Restore(r wire.Record, places []Place) error {
	b, v, err := c.earlier(r, places)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch old := b.objects[r.Key]; {
	case old != nil:
		return wire.Errorf(wire.CodeRequest, "versions %d and %d of one key", old.number, v.number)
	case v.expired(time.Now()):
		c.journal.Remove(v.key, v.number)
		return nil
	}
	c.enter(b, v)
	return nil
}

// Adopt makes a version of an earlier reign current that no journal knows, while
// the catalog is in use; places are as for Restore. The caller takes the risk
// that the version had been replaced or deleted: the catalog only refuses what it
// knows to be wrong. An error, after which nothing has happened, matches
// wire.ErrKey, wire.ErrRequest as for Restore, wire.ErrCondition if the key has a
// version or is remembered to have lost one in this reign, or the version is
// expired, wire.ErrLost if a stripe has fewer than d chunks held, or
// wire.ErrUnavailable if the journal does not take it. One that it took and then
// failed to keep is a miss again, and freed, like any other.
func (c *Catalog) Adopt(r wire.Record, places []Place) error {
	b, v, err := c.earlier(r, places)
	if err != nil {
		return err
	}
	l := v.layout()
	for i := range uint32(l.stripes()) {
		if n := l.missing(i, v.row(i)); n > int(v.parity) {
			return wire.Errorf(wire.CodeLost, "stripe %d misses %d of %d+%d chunks", i, n, v.data, v.parity)
		}
	}
	w, err := c.adopt(b, v)
	if err != nil {
		return err
	}
	_ = c.show(v, w) // nobody waits to see it
	return nil
}

func (c *Catalog) adopt(b *bucket, v *version) (w wait, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.objects[v.key] != nil || b.cause(v.hash) != wire.CauseNeverStored || v.expired(time.Now()) {
		return nil, wire.Errorf(wire.CodeCondition, "version %d is not the newest of its key any more", v.number)
	}
	if v.unsafe, err = c.journal.Put(v.record(), v.places, 0); err != nil {
		return nil, unavailable(err)
	}
	c.enter(b, v)
	return v.unsafe, nil
}

// earlier makes a version of an earlier reign.
func (c *Catalog) earlier(r wire.Record, places []Place) (*bucket, *version, error) {
	b, hash, err := c.locate(r.Key)
	if err != nil {
		return nil, nil, err
	}
	v := &version{
		key: r.Key, hash: hash, number: r.Version, size: r.Size, stripe: r.Stripe,
		stored: r.Stored, expires: r.Expires, slot: -1, data: r.Data, parity: r.Parity,
		places: slices.Clone(places), seal: sealOf(r.Seal),
	}
	switch epoch := EpochOf(r.Version); {
	case r.Version == 0 || epoch >= c.epoch:
		err = wire.Errorf(wire.CodeRequest, "version %d is of epoch %d, this is epoch %d", r.Version, epoch, c.epoch)
	case r.Data == 0 || v.chunks() > wire.MaxChunks:
		err = wire.Errorf(wire.CodeRequest, "shape is %d+%d, allowed are 1+0 to %d chunks", r.Data, r.Parity, wire.MaxChunks)
	case r.Size < 0 || r.Size > wire.MaxObject || r.Stripe < 1 || r.Stripe > wire.MaxObject:
		err = wire.Errorf(wire.CodeRequest, "%d bytes in stripes of %d", r.Size, r.Stripe)
	case r.Expires < 0 || r.Expires > maxExpires:
		err = wire.Errorf(wire.CodeRequest, "expiry %d, allowed are 0 to %d", r.Expires, int64(maxExpires))
	case int64(len(places)) != v.layout().stripes()*int64(v.chunks()):
		err = wire.Errorf(wire.CodeRequest, "%d places for %d stripes of %d chunks", len(places), v.layout().stripes(), v.chunks())
	default:
		err = checkSeal(r.Seal, r.Size)
	}
	return b, v, err
}

// Named is where the newest version of a key has a chunk, and how many bytes it
// stores there. ok is false if that version is not the newest, or has no such
// chunk: then nobody needs what an instance holds under that name.
func (c *Catalog) Named(key string, number uint64, stripe uint32, chunk int) (at Place, size int64, ok bool) {
	b, _, err := c.locate(key)
	if err != nil {
		return Place{}, 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.objects[key]
	if v == nil || v.number != number || v.expired(time.Now()) {
		return Place{}, 0, false
	}
	row := v.row(stripe)
	if chunk < 0 || chunk >= len(row) {
		return Place{}, 0, false
	}
	return row[chunk], v.layout().chunkLen(stripe, chunk), true
}

// LastRead is when a version was last opened, to the second, or one that it
// replaced; the zero time if never in this reign. ok is false if the version is
// not the newest of its key.
func (c *Catalog) LastRead(key string, number uint64) (at time.Time, ok bool) {
	b, _, err := c.locate(key)
	if err != nil {
		return time.Time{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.objects[key]
	if v == nil || v.number != number {
		return time.Time{}, false
	}
	return v.lastRead(), true
}

// EpochOf is the epoch whose proxy gave out a version.
func EpochOf(version uint64) uint64 { return version >> epochShift }
