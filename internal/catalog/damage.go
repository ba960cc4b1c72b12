package catalog

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Damage is what the loss of an instance did to one object.
type Damage struct {
	Record wire.Record
	// Chunks is how many of its chunks the instance held.
	Chunks int
	// Worst is the most chunks that nobody holds in any one of its stripes, for
	// whatever reason: the object is beyond repair if that is more than p.
	Worst int
	// LastRead is when the object was last opened; see Catalog.LastRead.
	LastRead time.Time
}

// Fatal tells whether a stripe has fewer than d chunks left.
func (d Damage) Fatal() bool { return d.Worst > int(d.Record.Parity) }

// LoseInstance forgets what an instance held: its chunks are held by nobody from
// now on, those of staged versions included. It calls hurt, which may be nil,
// for each object that had any, in no order, and returns how many there were.
// What to do about them, to repair or to Lose them, is the caller's choice. The
// instance must not acknowledge chunks any more. The journal is not told: it
// names the instance still, so that whoever restores must know that it is lost.
// No lock is held for longer than
// one object takes.
func (c *Catalog) LoseInstance(instance uint32, hurt func(Damage)) int {
	if instance == 0 {
		return 0
	}
	var (
		n      int
		staged []*Staged
		all    []*version
	)
	for i := range c.buckets {
		b := &c.buckets[i]
		// Staged versions first: one that is committed meanwhile is then found
		// among the current ones.
		staged = b.underway(staged[:0])
		for _, s := range staged {
			s.loseInstance(instance)
		}
		all = b.snapshot(all[:0])
		for _, v := range all {
			d, ok := b.loseInstance(v, instance)
			if !ok {
				continue
			}
			n++
			if hurt != nil {
				hurt(d)
			}
		}
	}
	return n
}

// underway appends the staged versions of a bucket to dst.
func (b *bucket) underway(dst []*Staged) []*Staged {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.staged {
		dst = append(dst, s)
	}
	return dst
}

func (s *Staged) loseInstance(instance uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	for _, row := range s.rows {
		vacate(row, instance)
	}
}

// loseInstance vacates the instance's places in v and reports whether there were
// any in a version that is still current.
func (b *bucket) loseInstance(v *version, instance uint32) (Damage, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.gone {
		return Damage{}, false
	}
	n := vacate(v.places, instance)
	if n == 0 {
		return Damage{}, false
	}
	d := Damage{Record: v.record(), Chunks: n, LastRead: v.lastRead()}
	l, chunks := v.layout(), v.chunks()
	for i := range len(v.places) / chunks {
		d.Worst = max(d.Worst, l.missing(uint32(i), v.row(uint32(i))))
	}
	return d, true
}

// vacate leaves the places of an instance to nobody and counts them.
func vacate(places []Place, instance uint32) int {
	n := 0
	for i := range places {
		if places[i].Instance == instance {
			places[i].Instance = 0
			n++
		}
	}
	return n
}
