package catalog

import (
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// Result is what a Commit did.
type Result struct {
	// Stored is false only when the condition did not hold.
	Stored bool
	// Info is the new version; zero if it was not stored.
	Info object.Info
	// Replaced is the version that was replaced, or that stood in the way of
	// IfAbsent, if WantReplaced asked for it and there was one. The caller
	// releases it.
	Replaced *Pin
}

// Commit makes the version, size bytes long, the newest of its key, in one step
// for readers; the version before it is freed after its last pin. It goes by the
// options of Begin, or those that SetOptions put in their place. If the condition
// does not hold now the version is given up and Stored is false.
// If the new version's expiry is over already, the key is deleted instead:
// Stored is true, but the version is freed at once.
//
// An error means that nothing happened and the version may be mended or
// aborted: it matches wire.ErrShort if the placed stripes are not those that
// size needs, wire.ErrLost if one of them has fewer than d chunks held, and
// wire.ErrRequest if the version is over, has no plan or an impossible size, which
// includes one that no sealed form has where the version is sealed. One
// that matches wire.ErrUnavailable is the journal's: if the version can still be
// committed or aborted nothing happened, else the key is a miss, and what a
// restart would find is not known.
func (s *Staged) Commit(size int64) (Result, error) {
	s.mu.Lock()
	v, err := s.build(size)
	if err != nil {
		s.mu.Unlock()
		return Result{}, err
	}
	var (
		c     = s.c
		b     = c.bucket(s.hash)
		res   Result
		freed []*version
	)
	b.mu.Lock()
	now := time.Now()
	old := c.current(b, s.key, now, &freed)
	res.Stored = holds(s.o.Condition, old)
	over := v.succeed(old, s.o, now)
	seen, w, err := v, wait(nil), error(nil)
	switch {
	case !res.Stored && old != nil:
		seen, w = old, old.unsafe
	case !res.Stored:
	case over && old != nil:
		w = c.journal.Remove(old.key, old.number)
	case over:
		w = c.journal.Settled(v.key)
	default:
		var replaced uint64
		if old != nil {
			replaced = old.number
		}
		w, err = c.journal.Put(v.record(), v.places, replaced)
		v.unsafe = w
	}
	if err == nil {
		s.end(b)
		if old != nil && s.o.WantReplaced {
			res.Replaced = c.pin(old)
		}
		if res.Stored {
			c.replace(b, old, v, over, &freed)
			res.Info = v.info()
		}
	}
	b.mu.Unlock()
	s.mu.Unlock()

	if err != nil {
		c.free(freed)
		return Result{}, unavailable(err)
	}
	// What was replaced keeps its chunks until no restart can bring it back.
	err = c.show(seen, w)
	if !res.Stored {
		s.free()
	}
	c.free(freed)
	if err != nil {
		if res.Replaced != nil {
			res.Replaced.Release()
		}
		return Result{}, err
	}
	return res, nil
}

// succeed gives v what it has from its predecessor, which may be nil, and from
// its options, and reports whether it is expired already.
func (v *version) succeed(old *version, o object.PutOptions, now time.Time) (over bool) {
	v.stored = now.UnixMilli()
	switch {
	case !o.KeepExpiry:
		v.expires = millis(o.Expires)
	case old != nil:
		v.expires = old.expires
	}
	if old != nil {
		v.ref, v.read = old.ref, old.read
	}
	return !o.KeepExpiry && past(o.Expires, now)
}

// replace puts v in old's place, which may be nil; if it is over already, nothing
// is. b is locked.
func (c *Catalog) replace(b *bucket, old, v *version, over bool, freed *[]*version) {
	if old != nil {
		c.detach(b, old, wire.CauseUnexplained, freed)
	}
	if over {
		v.gone = true
		c.haunt(b, v.hash, wire.CauseDeleted)
		*freed = append(*freed, v)
		return
	}
	c.exorcise(b, v.hash)
	c.enter(b, v)
}

// enter makes v current. b is locked, and has no other version of the key.
func (c *Catalog) enter(b *bucket, v *version) {
	b.objects[v.key] = v
	c.clock.add(v)
	c.due.set(v, v.expires)
	c.objects.Add(1)
	c.bytes.Add(v.size)
}

// build makes a version of size bytes from what is staged. s is locked.
func (s *Staged) build(size int64) (*version, error) {
	switch {
	case s.over:
		return nil, wire.Errorf(wire.CodeRequest, "version %d is over", s.number)
	case s.stripe == 0:
		return nil, wire.Errorf(wire.CodeRequest, "version %d has no plan yet", s.number)
	case size < 0 || size > wire.MaxObject:
		return nil, wire.Errorf(wire.CodeRequest, "size %d, allowed are 0 to %d", size, int64(wire.MaxObject))
	}
	if err := checkSeal(s.seal, size); err != nil {
		return nil, err
	}
	l := layout{size: size, stripe: s.stripe, data: s.shape.Data}
	need := l.stripes()
	if int64(len(s.rows)) < need {
		return nil, wire.Errorf(wire.CodeShort, "%d stripes placed, %d bytes need %d", len(s.rows), size, need)
	}
	held := func(p Place) bool { return p.Instance != 0 }
	for _, row := range s.rows[need:] {
		if slices.ContainsFunc(row, held) {
			return nil, wire.Errorf(wire.CodeShort, "%d stripes placed, %d bytes need %d", len(s.rows), size, need)
		}
	}
	chunks := s.shape.Data + s.shape.Parity
	places := make([]Place, 0, int(need)*chunks)
	for i, row := range s.rows[:need] {
		if row == nil {
			return nil, wire.Errorf(wire.CodeShort, "stripe %d is not placed", i)
		}
		if n := l.missing(uint32(i), row); n > s.shape.Parity {
			return nil, wire.Errorf(wire.CodeLost, "stripe %d misses %d of %d+%d chunks", i, n, s.shape.Data, s.shape.Parity)
		}
		places = append(places, row...)
	}
	return &version{
		key: s.key, hash: s.hash, number: s.number, size: size, stripe: s.stripe,
		seal: sealOf(s.seal), places: places, slot: -1,
		data: uint8(s.shape.Data), parity: uint8(s.shape.Parity),
	}, nil
}
