package catalog

import (
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// maxGap is how many stripes may be skipped, to be placed later: it bounds what
// a wrong stripe number can allocate.
const maxGap = 1024

// Staged is a version under way: invisible until Commit, and gone after Abort.
// It is safe for concurrent use.
type Staged struct {
	c      *Catalog
	key    string
	hash   uint64
	number uint64
	begun  int64 // Unix milliseconds

	mu     sync.Mutex
	over   bool // committed, refused or given up
	o      object.PutOptions
	shape  object.Shape
	stripe int64 // bytes of object per stripe; 0 before SetPlan
	size   int64 // as declared; -1 is not known
	seal   wire.Seal
	rows   [][]Place // by stripe; nil where not placed yet
}

// ConditionError is why Begin refused a Put whose condition does not hold. It
// matches wire.ErrCondition.
type ConditionError struct {
	// Standing is the version that stood in the way of IfAbsent, if WantReplaced
	// asked for it; nil otherwise. The caller releases it.
	Standing *Pin
}

func (e *ConditionError) Error() string { return wire.ErrCondition.Error() }

// Unwrap gives wire.ErrCondition.
func (e *ConditionError) Unwrap() error { return wire.ErrCondition }

// Begin stages a new version of a key; the caller ends it with Commit or Abort.
// It refuses with a *ConditionError if the condition does not hold now. Other
// errors match wire.ErrKey, wire.ErrRequest for a condition that does not exist,
// or wire.ErrUnavailable when the epoch has given out all its versions, or when
// it is not known whether what stands in the way would survive a restart.
func (c *Catalog) Begin(key string, o object.PutOptions) (*Staged, error) {
	b, hash, err := c.locate(key)
	if err != nil {
		return nil, err
	}
	if err := checkCondition(o.Condition); err != nil {
		return nil, err
	}
	n := c.counter.Add(1)
	if n > maxCounter {
		return nil, wire.Errorf(wire.CodeUnavailable, "epoch %d has no versions left", c.epoch)
	}
	now := time.Now()
	s := &Staged{
		c: c, key: key, hash: hash, number: c.epoch<<epochShift | n,
		begun: now.UnixMilli(), o: o, size: -1,
	}
	var (
		freed []*version
		seen  *version // what refused it
		w     wait
	)
	b.mu.Lock()
	if v := c.current(b, key, now, &freed); holds(o.Condition, v) {
		if b.staged == nil {
			b.staged = map[*Staged]struct{}{}
		}
		b.staged[s] = struct{}{}
		c.staged.Add(1)
	} else {
		refused := &ConditionError{}
		if v != nil {
			seen, w = v, v.unsafe
			if o.WantReplaced {
				refused.Standing = c.pin(v)
			}
		}
		s, err = nil, refused
	}
	b.mu.Unlock()
	c.free(freed)
	if w != nil {
		if unsafe := c.show(seen, w); unsafe != nil {
			if standing := err.(*ConditionError).Standing; standing != nil {
				standing.Release()
			}
			err = unsafe
		}
	}
	return s, err
}

func checkCondition(cond object.Condition) error {
	if cond > object.IfPresent {
		return wire.Errorf(wire.CodeRequest, "condition %d, allowed are 0 to %d", cond, object.IfPresent)
	}
	return nil
}

// holds tells whether a condition holds for what a key has now.
func holds(cond object.Condition, v *version) bool {
	switch cond {
	case object.IfAbsent:
		return v == nil
	case object.IfPresent:
		return v != nil
	}
	return true
}

// Version is the number of the version, which checksums and chunks carry.
func (s *Staged) Version() uint64 { return s.number }

// Record describes the version as far as it is known: its size is what SetSize
// declared, or 0; its shape is zero before SetPlan; Stored is when it began.
// Expires is 0 where the replaced version's will be kept.
func (s *Staged) Record() wire.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record()
}

func (s *Staged) record() wire.Record {
	r := wire.Record{
		Key: s.key, Version: s.number, Size: max(s.size, 0),
		Data: uint8(s.shape.Data), Parity: uint8(s.shape.Parity),
		Stripe: s.stripe, Stored: s.begun, Seal: s.seal,
	}
	if !s.o.KeepExpiry {
		r.Expires = millis(s.o.Expires)
	}
	return r
}

// SetPlan says how the object is cut: shape, and bytes of object per stripe, at
// least 1. It comes before the first Place. Its error matches wire.ErrRequest.
func (s *Staged) SetPlan(shape object.Shape, stripe int64) error {
	d, p := shape.Data, shape.Parity
	if d < 1 || p < 0 || d > wire.MaxChunks || d+p > wire.MaxChunks {
		return wire.Errorf(wire.CodeRequest, "shape is %d+%d, allowed are 1+0 to %d chunks", d, p, wire.MaxChunks)
	}
	if stripe < 1 || stripe > int64(d)*wire.MaxChunkSize {
		return wire.Errorf(wire.CodeRequest, "stripe of %d bytes, allowed are 1 to %d", stripe, int64(d)*wire.MaxChunkSize)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || len(s.rows) > 0 {
		return wire.Errorf(wire.CodeRequest, "version %d is over or has chunks already", s.number)
	}
	s.shape, s.stripe = shape, stripe
	return nil
}

// SetSize declares how many bytes the object will have; negative means that it
// is not known. Record and Abort use it, Commit has its own.
func (s *Staged) SetSize(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = max(size, -1)
}

// SetSeal says that the version is sealed: all sizes are of its sealed form, but
// the one that an object.Info has. It comes before Record is used.
func (s *Staged) SetSeal(seal wire.Seal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal = seal
}

// SetOptions replaces the options that the version was begun with: Commit goes
// by the expiry, the condition and WantReplaced of o. It does not look whether the
// condition holds, and has no effect on a version that is over. Its error matches
// wire.ErrRequest for a condition that does not exist; the options stay then.
func (s *Staged) SetOptions(o object.PutOptions) error {
	if err := checkCondition(o.Condition); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.o = o
	}
	return nil
}

// Place says where the chunks of a stripe go: d+p of them, copied. A place with
// an instance counts as holding its chunk, one without waits for SetPlace.
// Stripes may come in any order, but not more than 1,024 ahead of the last. Its
// error matches wire.ErrRequest.
func (s *Staged) Place(stripe uint32, places []Place) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch chunks := s.shape.Data + s.shape.Parity; {
	case s.over:
		return wire.Errorf(wire.CodeRequest, "version %d is over", s.number)
	case s.stripe == 0:
		return wire.Errorf(wire.CodeRequest, "version %d has no plan yet", s.number)
	case len(places) != chunks:
		return wire.Errorf(wire.CodeRequest, "stripe %d has %d places for %d chunks", stripe, len(places), chunks)
	case int64(stripe) > int64(len(s.rows))+maxGap:
		return wire.Errorf(wire.CodeRequest, "stripe %d is %d ahead, limit %d", stripe, int64(stripe)-int64(len(s.rows)), maxGap)
	}
	for len(s.rows) <= int(stripe) {
		s.rows = append(s.rows, nil)
	}
	s.rows[stripe] = slices.Clone(places)
	return nil
}

// SetPlace says where one chunk of a placed stripe is. It reports false if the
// version is over or has no such chunk: nobody will free that chunk then but the
// caller, to whom a holder that SetPlace replaced is left, too.
func (s *Staged) SetPlace(stripe uint32, chunk int, p Place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	row := s.row(stripe)
	if s.over || chunk < 0 || chunk >= len(row) {
		return false
	}
	row[chunk] = p
	return true
}

// Places is a copy of where the chunks of a stripe are; nil if it is not placed.
func (s *Staged) Places(stripe uint32) []Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.row(stripe))
}

func (s *Staged) row(stripe uint32) []Place {
	if int64(stripe) >= int64(len(s.rows)) {
		return nil
	}
	return s.rows[stripe]
}

// Abort gives the version up and frees its chunks. Calling it again, or after
// Commit ended the version, does nothing.
func (s *Staged) Abort() {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	b := s.c.bucket(s.hash)
	b.mu.Lock()
	s.end(b)
	b.mu.Unlock()
	s.mu.Unlock()
	s.free()
}

// end makes the version over. Both it and its bucket are locked.
func (s *Staged) end(b *bucket) {
	s.over = true
	delete(b.staged, s)
	s.c.staged.Add(-1)
}

// free delivers the chunks of a version that ended without being committed. It
// is over, so nothing changes any more but the declared size.
func (s *Staged) free() {
	if s.c.onFree == nil {
		return
	}
	s.mu.Lock()
	f := Freed{Record: s.record()}
	size := s.size
	s.mu.Unlock()
	if size < 0 {
		size = int64(len(s.rows)) * s.stripe
	}
	l := layout{size: size, stripe: s.stripe, data: s.shape.Data}
	for i, row := range s.rows {
		for j, p := range row {
			f.add(l, uint32(i), j, p)
		}
	}
	s.c.onFree(f)
}
