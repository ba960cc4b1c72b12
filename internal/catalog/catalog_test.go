package catalog

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

const stripeSize = 1 << 20

// ledger is an OnFree that counts how often each version was freed.
type ledger struct {
	mu    sync.Mutex
	freed map[uint64]int
	last  Freed
}

func (l *ledger) free(f Freed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.freed == nil {
		l.freed = map[uint64]int{}
	}
	l.freed[f.Record.Version]++
	l.last = f
}

func (l *ledger) count(version uint64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.freed[version]
}

func newCatalog(t testing.TB, cfg Config) *Catalog {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatalf("New(%+v): %v", cfg, err)
	}
	return c
}

// expireAt is a decision of SetExpiry that does not depend on what stands.
func expireAt(at time.Time) func(object.Info) (time.Time, bool) {
	return func(object.Info) (time.Time, bool) { return at, true }
}

// stage begins a 2+1 version with its stripes placed on nodes 0, 1, 2, each
// played by the instance numbered one higher.
func stage(t testing.TB, c *Catalog, key string, size int64, o object.PutOptions) *Staged {
	t.Helper()
	s, err := c.Begin(key, o)
	if err != nil {
		t.Fatalf("Begin(%q): %v", key, err)
	}
	if err := s.SetPlan(object.Shape{Data: 2, Parity: 1}, stripeSize); err != nil {
		t.Fatal(err)
	}
	for i := range (size + stripeSize - 1) / stripeSize {
		if err := s.Place(uint32(i), []Place{{Node: 0, Instance: 1}, {Node: 1, Instance: 2}, {Node: 2, Instance: 3}}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func put(t testing.TB, c *Catalog, key string, size int64, o object.PutOptions) Result {
	t.Helper()
	r, err := stage(t, c, key, size, o).Commit(size)
	if err != nil {
		t.Fatalf("Commit(%q): %v", key, err)
	}
	return r
}

func TestNewComplainsOnce(t *testing.T) {
	_, err := New(Config{Epoch: 1 << 28, Ghosts: -1})
	if err == nil || !strings.Contains(err.Error(), "epoch") || !strings.Contains(err.Error(), "ghosts") {
		t.Errorf("New = %v, want complaints about epoch and ghosts", err)
	}
}

func TestKeyLimits(t *testing.T) {
	c := newCatalog(t, Config{})
	for _, test := range []struct {
		key string
		ok  bool
	}{
		{"", false}, {"k", true},
		{strings.Repeat("k", wire.MaxKey), true}, {strings.Repeat("k", wire.MaxKey+1), false},
	} {
		_, begin := c.Begin(test.key, object.PutOptions{})
		_, open := c.Open(test.key)
		_, stat := c.Stat(test.key)
		_, _, del := c.Delete(test.key, true)
		_, _, expire := c.SetExpiry(test.key, expireAt(time.Time{}))
		for call, err := range map[string]error{"Begin": begin, "Open": open, "Stat": stat, "Delete": del, "SetExpiry": expire} {
			if errors.Is(err, wire.ErrKey) == test.ok {
				t.Errorf("%s with a key of %d bytes: %v", call, len(test.key), err)
			}
		}
	}
}

func TestVersions(t *testing.T) {
	c := newCatalog(t, Config{Epoch: 7})
	for i := range uint64(3) {
		if got, want := put(t, c, "k", 1, object.PutOptions{}).Info.Version, 7<<36|i+1; got != want {
			t.Errorf("version %d is %#x, want %#x", i, got, want)
		}
	}
	c.counter.Store(maxCounter)
	if _, err := c.Begin("k", object.PutOptions{}); !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("Begin after the last version: %v", err)
	}
}

func TestInfo(t *testing.T) {
	c := newCatalog(t, Config{})
	expires := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	before := time.Now().Truncate(time.Millisecond)
	got := put(t, c, "k", 3*stripeSize+1, object.PutOptions{Expires: expires}).Info
	if got.Stored.Before(before) || got.Stored.After(time.Now()) {
		t.Errorf("stored at %v, not between %v and now", got.Stored, before)
	}
	want := object.Info{
		Key: "k", Version: 1, Size: 3*stripeSize + 1, Expires: expires, Stored: got.Stored,
		Shape: object.Shape{Data: 2, Parity: 1}, Stripe: stripeSize,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("Info (-want +got):\n%s", d)
	}
	p, err := c.Open("k")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, p.Info()); d != "" {
		t.Errorf("Pin.Info (-want +got):\n%s", d)
	}
	if r := p.Record(); r.Expires != expires.UnixMilli() || r.Version != 1 || r.Data != 2 || r.Parity != 1 {
		t.Errorf("Record = %+v", r)
	}
	if got := p.Places(3, nil); len(got) != 3 {
		t.Errorf("places of the last stripe: %v", got)
	}
	if got := p.Places(4, nil); got != nil {
		t.Errorf("places after the last stripe: %v", got)
	}
}

func TestMissCauses(t *testing.T) {
	for _, test := range []struct {
		want wire.Cause
		gone func(*Catalog)
	}{
		{wire.CauseDeleted, func(c *Catalog) { c.Delete("k", false) }},
		{wire.CauseDeleted, func(c *Catalog) { c.Flush() }},
		{wire.CauseDeleted, func(c *Catalog) { c.SetExpiry("k", expireAt(time.Unix(1, 0))) }},
		{wire.CauseDeleted, func(c *Catalog) { put(t, c, "k", 1, object.PutOptions{Expires: time.Unix(1, 0)}) }},
		{wire.CauseExpired, func(c *Catalog) { c.ExpireDue(time.Now().Add(2*time.Hour), 0) }},
		{wire.CauseEvicted, func(c *Catalog) { c.Evict(nil) }},
		{wire.CauseLost, func(c *Catalog) {
			i, _ := c.Stat("k")
			c.Lose("k", i.Version, wire.CauseLost)
		}},
	} {
		t.Run(test.want.String(), func(t *testing.T) {
			var l ledger
			c := newCatalog(t, Config{OnFree: l.free})
			check := func(want wire.Cause) {
				t.Helper()
				for range 2 {
					_, err := c.Open("k")
					if !errors.Is(err, wire.ErrNotFound) || wire.CauseOf(err) != want {
						t.Fatalf("Open = %v, want a miss that is %v", err, want)
					}
				}
			}
			check(wire.CauseNeverStored)
			version := put(t, c, "k", 1, object.PutOptions{Expires: time.Now().Add(time.Hour)}).Info.Version
			test.gone(c)
			check(test.want)
			if n := l.count(version); n != 1 {
				t.Errorf("freed %d times, want 1", n)
			}
			put(t, c, "k", 1, object.PutOptions{})
			if s := c.Stats(); s.Ghosts != 0 || s.Objects != 1 || s.Bytes != 1 {
				t.Errorf("after a new Put: %+v", s)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	c := newCatalog(t, Config{})
	absent := object.PutOptions{Condition: object.IfAbsent, WantReplaced: true}
	present := object.PutOptions{Condition: object.IfPresent, WantReplaced: true}

	if _, err := c.Begin("k", object.PutOptions{Condition: 3}); !errors.Is(err, wire.ErrRequest) {
		t.Errorf("unknown condition: %v", err)
	}
	if _, err := c.Begin("k", present); !errors.Is(err, wire.ErrCondition) {
		t.Errorf("IfPresent without an object: %v", err)
	}
	loser := stage(t, c, "k", 1, absent)
	first := put(t, c, "k", 1, absent)
	if !first.Stored || first.Replaced != nil {
		t.Errorf("IfAbsent without an object: %+v", first)
	}
	r, err := loser.Commit(1)
	if err != nil || r.Stored || r.Replaced == nil || r.Replaced.Info().Version != first.Info.Version {
		t.Errorf("Commit IfAbsent on an object: %+v, %v", r, err)
	}
	r.Replaced.Release()

	_, err = c.Begin("k", absent)
	var refused *ConditionError
	if !errors.As(err, &refused) || !errors.Is(err, wire.ErrCondition) || wire.CodeOf(err) != wire.CodeCondition {
		t.Fatalf("Begin IfAbsent on an object: %v", err)
	}
	if refused.Standing == nil || refused.Standing.Info().Version != first.Info.Version {
		t.Errorf("standing version: %v", refused.Standing)
	}
	refused.Standing.Release()

	second := put(t, c, "k", 1, present)
	if !second.Stored || second.Replaced == nil || second.Replaced.Info().Version != first.Info.Version {
		t.Errorf("IfPresent on an object: %+v", second)
	}
	second.Replaced.Release()

	gone := stage(t, c, "k", 1, present)
	c.Delete("k", false)
	if r, err := gone.Commit(1); err != nil || r.Stored || r.Replaced != nil {
		t.Errorf("Commit IfPresent after Delete: %+v, %v", r, err)
	}
	if s := c.Stats(); s.Pins != 0 || s.Staged != 0 || s.Objects != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// Two Puts that overlap: the one that commits last is the newest, whatever its
// number.
func TestCommitOrderDecides(t *testing.T) {
	var l ledger
	c := newCatalog(t, Config{OnFree: l.free})
	older := stage(t, c, "k", 1, object.PutOptions{})
	newer := stage(t, c, "k", 2, object.PutOptions{})
	for _, s := range []*Staged{newer, older} {
		if _, err := s.Commit(int64(s.Version())); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := c.Stat("k"); err != nil || i.Version != older.Version() {
		t.Errorf("Stat = %+v, %v; want version %d", i, err, older.Version())
	}
	if l.count(newer.Version()) != 1 || l.count(older.Version()) != 0 {
		t.Errorf("freed: %v", l.freed)
	}
}

func TestDeleteTakes(t *testing.T) {
	var l ledger
	c := newCatalog(t, Config{OnFree: l.free})
	version := put(t, c, "k", 5, object.PutOptions{}).Info.Version
	existed, p, err := c.Delete("k", true)
	if !existed || p == nil || err != nil {
		t.Fatalf("Delete = %v, %v, %v", existed, p, err)
	}
	want := Stats{Pins: 1, Detached: 1, DetachedBytes: 5, Ghosts: 1}
	if d := cmp.Diff(want, c.Stats()); d != "" {
		t.Errorf("while taken (-want +got):\n%s", d)
	}
	if p.SetPlace(0, 0, Place{Node: 0, Instance: 1}, Place{Node: 9, Instance: 9}) {
		t.Error("SetPlace moved a chunk of a deleted version")
	}
	p.Release()
	p.Release()
	if d := cmp.Diff(Stats{Ghosts: 1}, c.Stats()); d != "" {
		t.Errorf("after Release (-want +got):\n%s", d)
	}
	if n := l.count(version); n != 1 {
		t.Errorf("freed %d times, want 1", n)
	}
	if existed, p, err := c.Delete("k", true); existed || p != nil || err != nil {
		t.Errorf("second Delete = %v, %v, %v", existed, p, err)
	}
}

func TestGhostsAreBounded(t *testing.T) {
	c := newCatalog(t, Config{Ghosts: 1})
	const room = buckets * ghostWays
	for i := range 3 * room {
		key := fmt.Sprint(i)
		put(t, c, key, 0, object.PutOptions{})
		c.Evict(nil)
		if _, err := c.Stat(key); wire.CauseOf(err) != wire.CauseEvicted {
			t.Fatalf("Stat(%q) right after its eviction: %v", key, err)
		}
	}
	if n := c.Stats().Ghosts; n > room || n < room*9/10 {
		t.Errorf("%d ghosts, want nearly %d", n, room)
	}
	if _, err := c.Stat("0"); err == nil {
		t.Error("Stat of an evicted key found it")
	}
}

// Callbacks may use the catalog: they are called with nothing locked.
func TestCallbacksMayUseTheCatalog(t *testing.T) {
	var c *Catalog
	freed := 0
	use := func() {
		for _, key := range []string{"a", "b"} {
			if p, err := c.Open(key); err == nil {
				p.Release()
			}
		}
		c.Scan(0, buckets)
	}
	c = newCatalog(t, Config{OnFree: func(Freed) { freed++; use() }})
	put(t, c, "a", 1, object.PutOptions{})
	put(t, c, "a", 1, object.PutOptions{})
	put(t, c, "b", 1, object.PutOptions{})
	c.LoseInstance(1, func(Damage) { use() })
	c.Each(func(wire.Record, []Place) bool { use(); return true })
	stage(t, c, "a", 1, object.PutOptions{}).Abort()
	if _, ok := c.Evict(func(Place) bool { c.Scan(0, buckets); return true }); !ok {
		t.Error("nothing to evict")
	}
	c.Flush()
	if freed != 4 {
		t.Errorf("freed %d versions, want 4", freed)
	}
}
