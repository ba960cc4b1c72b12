package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

var _ Journal = (*journal.Journal)(nil)

// paper is a Journal on which an op is durable once somebody waited for it, or
// for a later one. It can be made to fail like package journal does.
type paper struct {
	mu      sync.Mutex
	ops     []func(*kept)
	durable int            // of ops
	disk    *kept          // what those made
	removed map[string]int // last op that removed a version of the key
	cleared int
	fail    error // what additions and waits get; nil works
	waits   int
	moves   int
}

// kept is what a restart would find: for each key its version.
type kept struct {
	objects map[string]wire.Record
	places  map[string][]Place
	errs    []error
}

func newKept() *kept {
	return &kept{objects: map[string]wire.Record{}, places: map[string][]Place{}}
}

func newPaper() *paper { return &paper{removed: map[string]int{}, disk: newKept()} }

// write makes the first n ops durable. p is locked.
func (p *paper) write(n int) {
	for ; p.durable < n; p.durable++ {
		p.ops[p.durable](p.disk)
	}
}

// writeSome does what package journal does while nobody waits.
func (p *paper) writeSome(r *rand.Rand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(p.durable + r.IntN(len(p.ops)-p.durable+1))
}

// find is the version of a key that a restart would find now; 0 for none.
func (p *paper) find(key string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.disk.objects[key].Version
}

// log adds an op and returns how to wait for it. p is locked.
func (p *paper) log(o func(*kept)) wait {
	p.ops = append(p.ops, o)
	return p.until(len(p.ops))
}

// until waits for the first n ops.
func (p *paper) until(n int) wait {
	told := p.fail
	return func(context.Context) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waits++
		if told != nil {
			return told
		}
		if p.durable < n {
			if p.fail != nil {
				return p.fail
			}
			p.write(n)
		}
		return nil
	}
}

func (p *paper) unsettled(key string) int { return max(p.removed[key], p.cleared) }

func (p *paper) Put(r wire.Record, places []Place, replaced uint64) (wait, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return nil, p.fail
	}
	must := replaced != 0 || p.unsettled(r.Key) > p.durable
	if replaced != 0 {
		p.removed[r.Key] = len(p.ops) + 1
	}
	places = slices.Clone(places)
	w := p.log(func(k *kept) {
		if old := k.objects[r.Key].Version; old != replaced {
			k.errs = append(k.errs, fmt.Errorf("version %d of %q replaces %d, kept is %d", r.Version, r.Key, replaced, old))
		}
		k.objects[r.Key], k.places[r.Key] = r, slices.Clone(places)
	})
	if !must {
		w = nil
	}
	return w, nil
}

func (p *paper) Remove(key string, version uint64) wait {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.removed[key] = len(p.ops) + 1
	return p.log(func(k *kept) {
		if old := k.objects[key].Version; old != version {
			k.errs = append(k.errs, fmt.Errorf("version %d of %q removed, kept is %d", version, key, old))
		}
		delete(k.objects, key)
		delete(k.places, key)
	})
}

func (p *paper) Expire(version uint64, expires int64) (wait, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return nil, p.fail
	}
	return p.log(func(k *kept) {
		for key, r := range k.objects {
			if r.Version == version {
				r.Expires = expires
				k.objects[key] = r
			}
		}
	}), nil
}

func (p *paper) Move(version uint64, index int, at Place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moves++
	p.log(func(k *kept) {
		for key, r := range k.objects {
			if r.Version == version {
				k.places[key][index] = at
			}
		}
	})
}

func (p *paper) Clear() wait {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleared = len(p.ops) + 1
	return p.log(func(k *kept) { clear(k.objects); clear(k.places) })
}

func (p *paper) Settled(key string) wait {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.unsettled(key); n > p.durable {
		return p.until(n)
	}
	return nil
}

func (p *paper) set(fail error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

// restart is what a restart would find now, or, with all, once everything is on
// disk.
func (p *paper) restart(t *testing.T, all bool) *kept {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	k := newKept()
	n := p.durable
	if all {
		n = len(p.ops)
	}
	for _, o := range p.ops[:n] {
		o(k)
	}
	for _, err := range k.errs {
		t.Error(err)
	}
	return k
}

// snapshot is what a catalog has, by key.
func snapshot(c *Catalog) *kept {
	k := newKept()
	c.Each(func(r wire.Record, places []Place) bool {
		k.objects[r.Key], k.places[r.Key] = r, slices.Clone(places)
		return true
	})
	return k
}

func compare(t *testing.T, what string, got, want *kept) {
	t.Helper()
	if diff := cmp.Diff(want.objects, got.objects); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
	if diff := cmp.Diff(want.places, got.places); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

// What was acknowledged, or shown, is what a restart finds, or nothing.
func TestAcknowledgedIsDurable(t *testing.T) {
	p := newPaper()
	c := newCatalog(t, Config{Epoch: 1, Journal: p})
	version := func() uint64 { return p.find("k") }

	first := put(t, c, "k", 1, object.PutOptions{}).Info.Version
	if version() != 0 || p.waits != 0 {
		t.Errorf("an addition waited %d times", p.waits)
	}
	second := put(t, c, "k", 1, object.PutOptions{}).Info.Version
	if version() != second {
		t.Errorf("after replacing %d by %d a restart finds %d", first, second, version())
	}
	at := time.Now().Add(time.Hour)
	for _, test := range []struct {
		at    time.Time
		waits int
	}{{at, 1}, {at.Add(time.Hour), 0}, {at, 1}, {time.Time{}, 0}} {
		before := p.waits
		if _, changed, err := c.SetExpiry("k", expireAt(test.at)); !changed || err != nil || p.waits-before != test.waits {
			t.Errorf("SetExpiry(%v) = %v, %v, waited %d times, want %d", test.at, changed, err, p.waits-before, test.waits)
		}
	}
	if existed, _, err := c.Delete("k", false); !existed || err != nil || version() != 0 {
		t.Errorf("Delete = %v, %v; a restart finds %d", existed, err, version())
	}
	third := put(t, c, "k", 1, object.PutOptions{}).Info.Version
	put(t, c, "other", 1, object.PutOptions{})
	put(t, c, "other", 1, object.PutOptions{})
	if version() != third {
		t.Fatal("the paper is wrong")
	}
	if _, ok := c.Evict(func(Place) bool { return true }); !ok {
		t.Fatal("nothing evicted")
	}
	if version() != third {
		t.Error("eviction waited")
	}
	if existed, _, err := c.Delete("k", false); existed || err != nil || version() != 0 {
		t.Errorf("Delete after an eviction = %v, %v; a restart finds %d", existed, err, version())
	}
	put(t, c, "k", 1, object.PutOptions{})
	if n, err := c.Flush(); n != 2 || err != nil || len(p.restart(t, false).objects) != 0 {
		t.Errorf("Flush = %d, %v; a restart finds %v", n, err, p.restart(t, false).objects)
	}
	compare(t, "in the end", p.restart(t, true), snapshot(c))
}

// held is a Journal whose waits end when the test says so.
type held struct {
	*paper
	entered chan struct{}
	release chan error
}

func (h *held) Put(r wire.Record, places []Place, replaced uint64) (wait, error) {
	w, err := h.paper.Put(r, places, replaced)
	if w == nil {
		return nil, err
	}
	done := sync.OnceValue(func() error { return <-h.release })
	return func(ctx context.Context) error {
		h.entered <- struct{}{}
		if err := done(); err != nil {
			return err
		}
		return w(ctx)
	}, nil
}

// Whoever sees a version that is not safe waits as long as its writer.
func TestReadersWait(t *testing.T) {
	for name, fail := range map[string]error{"written": nil, "not known": errors.New("disk full")} {
		t.Run(name, func(t *testing.T) {
			h := &held{newPaper(), make(chan struct{}), make(chan error)}
			k := newCustody(t)
			c := newCatalog(t, Config{Epoch: 1, Journal: h, OnFree: k.free})
			first := put(t, c, "k", 1, object.PutOptions{}).Info.Version
			k.begin(first)
			other := stage(t, c, "k", 1, object.PutOptions{WantReplaced: true})
			k.begin(other.Version())
			second := stage(t, c, "k", 1, object.PutOptions{WantReplaced: true})
			k.begin(second.Version())
			var wg sync.WaitGroup
			check := func(what string, call func() (uint64, error)) {
				wg.Go(func() {
					got, err := call()
					if fail == nil && (err != nil || got != second.Version()) || fail != nil && !errors.Is(err, wire.ErrUnavailable) {
						t.Errorf("%s: version %d, %v", what, got, err)
					}
				})
				<-h.entered
			}
			check("Commit", func() (uint64, error) {
				r, err := second.Commit(1)
				if r.Replaced != nil {
					r.Replaced.Release()
				}
				return r.Info.Version, err
			})
			check("Open", func() (uint64, error) {
				p, err := c.Open("k")
				if err != nil {
					return 0, err
				}
				defer p.Release()
				return p.Info().Version, nil
			})
			check("Stat", func() (uint64, error) { i, err := c.Stat("k"); return i.Version, err })
			check("Begin", func() (uint64, error) {
				_, err := c.Begin("k", object.PutOptions{Condition: object.IfAbsent, WantReplaced: true})
				var refused *ConditionError
				if !errors.As(err, &refused) {
					return 0, err
				}
				defer refused.Standing.Release()
				return refused.Standing.Info().Version, nil
			})
			check("Commit if absent", func() (uint64, error) {
				if err := other.SetOptions(object.PutOptions{Condition: object.IfAbsent, WantReplaced: true}); err != nil {
					return 0, err
				}
				r, err := other.Commit(1)
				if err != nil || r.Stored {
					return 0, err
				}
				defer r.Replaced.Release()
				return r.Replaced.Info().Version, nil
			})
			check("SetExpiry", func() (got uint64, err error) {
				_, _, err = c.SetExpiry("k", func(i object.Info) (time.Time, bool) { got = i.Version; return time.Time{}, false })
				return got, err
			})
			h.release <- fail
			wg.Wait()
			if _, err := c.Stat("k"); (err == nil) != (fail == nil) || err != nil && wire.CauseOf(err) != wire.CauseEvicted {
				t.Errorf("afterwards: %v", err)
			}
			compare(t, "in the end", h.restart(t, true), snapshot(c))
			k.settle(c)
		})
	}
}

// While the journal fails nothing is added, and nothing stale is shown.
func TestFailingJournal(t *testing.T) {
	p := newPaper()
	k := newCustody(t)
	c := newCatalog(t, Config{Epoch: 1, Journal: p, OnFree: k.free})
	kept := put(t, c, "kept", 1, object.PutOptions{}).Info.Version
	gone := put(t, c, "gone", 1, object.PutOptions{}).Info.Version
	put(t, c, "kept", 1, object.PutOptions{})
	kept++
	kept++
	p.set(errors.New("disk full"))

	s := stage(t, c, "kept", 1, object.PutOptions{WantReplaced: true})
	if r, err := s.Commit(1); !errors.Is(err, wire.ErrUnavailable) || r.Replaced != nil {
		t.Errorf("Commit = %+v, %v", r, err)
	}
	if i, err := c.Stat("kept"); err != nil || i.Version != kept {
		t.Errorf("after a refused Commit: version %d, %v, want %d", i.Version, err, kept)
	}
	if found, changed, err := c.SetExpiry("kept", expireAt(time.Now().Add(time.Hour))); !found || changed || !errors.Is(err, wire.ErrUnavailable) {
		t.Errorf("SetExpiry = %v, %v, %v", found, changed, err)
	}
	if i, _ := c.Stat("kept"); !i.Expires.IsZero() {
		t.Errorf("after a refused SetExpiry it expires at %v", i.Expires)
	}
	for range 2 {
		if _, p, err := c.Delete("gone", true); !errors.Is(err, wire.ErrUnavailable) || p != nil {
			t.Errorf("Delete = %v, %v", p, err)
		}
		if _, err := c.Stat("gone"); !errors.Is(err, wire.ErrNotFound) {
			t.Errorf("after a Delete that is not safe: %v", err)
		}
	}
	if got := p.find("gone"); got != gone {
		t.Errorf("on disk is version %d, want %d: the test is pointless", got, gone)
	}
	p.set(nil)
	if r, err := s.Commit(1); err != nil || !r.Stored {
		t.Errorf("Commit once the journal works = %+v, %v", r, err)
	} else {
		r.Replaced.Release()
	}
	if existed, _, err := c.Delete("gone", false); existed || err != nil || p.find("gone") != 0 {
		t.Errorf("Delete once the journal works = %v, %v", existed, err)
	}
	compare(t, "in the end", p.restart(t, true), snapshot(c))
	p.set(errors.New("disk full"))
	if n, err := c.Flush(); n != 1 || !errors.Is(err, wire.ErrUnavailable) || c.Len() != 0 {
		t.Errorf("Flush = %d, %v, left %d", n, err, c.Len())
	}
	p.set(nil)
	k.settle(c)
}

// Many at once: whatever the order, the journal ends up with what the catalog
// has, and at any instant with nothing that was replaced or deleted.
func TestJournalOfConcurrentWorkload(t *testing.T) {
	p := newPaper()
	k := newCustody(t)
	c := newCatalog(t, Config{Epoch: 1, Journal: p, OnFree: k.free})
	key := func(r *rand.Rand) string { return fmt.Sprintf("key%d", r.IntN(8)) }
	stop := k.readers(c, 2, key)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for range 3_000 {
				work(k, c, r, key(r))
			}
		})
	}
	wg.Wait()
	stop()
	want := p.restart(t, true)
	got := snapshot(c)
	for _, places := range []map[string][]Place{want.places, got.places} {
		for _, row := range places { // losses of instances are not journalled
			for i := range row {
				row[i].Instance = 0
			}
		}
	}
	compare(t, "in the end", got, want)
	if p.moves == 0 || p.waits == 0 {
		t.Errorf("%d moves, %d waits: the workload misses something", p.moves, p.waits)
	}
	k.settle(c)
}

// The real journal, with copies of its file taken while it is written.
func TestRestartFromJournal(t *testing.T) {
	dir := t.TempDir()
	open := func() (*journal.Journal, *journal.State) {
		j, s, err := journal.Open(dir, journal.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return j, s
	}
	r := rand.New(rand.NewPCG(9, 9))
	acked := map[string]uint64{} // 0: deleted
	var names []string
	for epoch := range uint64(5) {
		j, s := open()
		c := newCatalog(t, Config{Epoch: epoch + 1, Journal: j})
		found := map[string]uint64{}
		if err := s.Each(func(rec wire.Record, places []Place) bool {
			found[rec.Key] = rec.Version
			if err := c.Restore(rec, places); err != nil {
				t.Error(err)
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		for key, version := range found {
			if acked[key] != version {
				t.Errorf("epoch %d finds version %d of %q, acknowledged was %d", epoch, version, key, acked[key])
			}
		}
		if epoch > 0 && len(found) == 0 {
			t.Errorf("epoch %d finds nothing", epoch)
		}
		for key := range acked {
			if found[key] == 0 {
				acked[key] = 0 // an addition that was not written yet
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { _ = j.Run(ctx) })
		for range 60 {
			key := fmt.Sprint("key", r.IntN(20))
			if r.IntN(4) == 0 {
				if _, _, err := c.Delete(key, false); err != nil {
					t.Fatal(err)
				}
				acked[key] = 0
				continue
			}
			acked[key] = put(t, c, key, 1+r.Int64N(3*stripeSize), object.PutOptions{}).Info.Version
			if p, err := c.Open(key); err == nil {
				at := p.Places(0, nil)[1]
				p.SetPlace(0, 1, at, Place{Node: 9, Instance: 9})
				p.Release()
			}
		}
		want := snapshot(c)
		cancel()
		wg.Wait()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j, s = open()
		got := newKept()
		if err := s.Each(func(rec wire.Record, places []Place) bool {
			got.objects[rec.Key], got.places[rec.Key] = rec, slices.Clone(places)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		compare(t, "after an orderly end", got, want)
		_ = j.Close()
		names = slices.Sorted(maps.Keys(got.objects))
	}
	t.Logf("left: %v", names)
}

// However an object goes, the journal hears of it.
func TestJournalHearsOfEveryRemoval(t *testing.T) {
	for name, remove := range map[string]func(c *Catalog, version uint64){
		"expired, seen by a read":   func(c *Catalog, _ uint64) { time.Sleep(time.Hour); _, _ = c.Stat("k") },
		"expired, seen by a put":    func(c *Catalog, _ uint64) { time.Sleep(time.Hour); put(t, c, "k", 1, object.PutOptions{}) },
		"expired, seen by the hand": func(c *Catalog, _ uint64) { time.Sleep(time.Hour); c.Evict(nil) },
		"expired, in time":          func(c *Catalog, _ uint64) { time.Sleep(time.Hour); c.ExpireDue(time.Now(), 0) },
		"expired, by Flush":         func(c *Catalog, _ uint64) { time.Sleep(time.Hour); _, _ = c.Flush() },
		"evicted":                   func(c *Catalog, _ uint64) { c.Evict(nil) },
		"lost":                      func(c *Catalog, v uint64) { c.Lose("k", v, wire.CauseLost) },
		"deleted by its expiry":     func(c *Catalog, _ uint64) { _, _, _ = c.SetExpiry("k", expireAt(time.Now())) },
		"replaced by what is over": func(c *Catalog, _ uint64) {
			put(t, c, "k", 1, object.PutOptions{Expires: time.Now()})
		},
		"replaced, keeping the expiry": func(c *Catalog, _ uint64) { put(t, c, "k", 1, object.PutOptions{KeepExpiry: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPaper()
				c := newCatalog(t, Config{Epoch: 1, Journal: p})
				v := put(t, c, "k", 1, object.PutOptions{Expires: time.Now().Add(time.Minute)}).Info.Version
				remove(c, v)
				got := p.restart(t, true)
				compare(t, "afterwards", got, snapshot(c))
				if got.objects["k"].Version == v {
					t.Error("the version is still there")
				}
			})
		})
	}
}
