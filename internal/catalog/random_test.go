package catalog

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the workload that is compared with a model; 0 picks one")

// custody watches the life of versions: begun, in use by pins, freed.
type custody struct {
	t     *testing.T
	mu    sync.Mutex
	begun map[uint64]bool
	inUse map[uint64]int
	freed map[uint64]bool
}

func newCustody(t *testing.T) *custody {
	return &custody{t: t, begun: map[uint64]bool{}, inUse: map[uint64]int{}, freed: map[uint64]bool{}}
}

func (k *custody) free(f Freed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := f.Record.Version
	if k.freed[v] {
		k.t.Errorf("version %d freed twice", v)
	}
	if k.inUse[v] > 0 {
		k.t.Errorf("version %d freed while pinned", v)
	}
	k.freed[v] = true
}

func (k *custody) begin(version uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun[version] = true
}

// use checks a pin, looks through it and releases it.
func (k *custody) use(p *Pin, key string) {
	r := p.Record()
	k.mu.Lock()
	if k.freed[r.Version] {
		k.t.Errorf("version %d pinned after it was freed", r.Version)
	}
	k.inUse[r.Version]++
	k.mu.Unlock()
	if r.Key != key {
		k.t.Errorf("pin of %q is on %q", key, r.Key)
	}
	for _, at := range p.Places(0, nil) {
		p.SetPlace(0, 0, at, Place{Node: at.Node + 1, Instance: at.Instance + 1})
	}
	k.mu.Lock()
	k.inUse[r.Version]--
	k.mu.Unlock()
	p.Release()
}

// settle flushes the catalog and checks that nothing is left or was forgotten.
func (k *custody) settle(c *Catalog) {
	k.t.Helper()
	c.Flush()
	s := c.Stats()
	s.Ghosts = 0
	if s != (Stats{}) || c.clock.hand != nil || len(c.due.heap) != 0 {
		k.t.Errorf("left behind: %+v, clock %v, %d to expire", s, c.clock.hand, len(c.due.heap))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for v := range k.begun {
		if !k.freed[v] {
			k.t.Errorf("version %d never freed", v)
		}
	}
}

// readers opens keys at random until stop is called, which waits for them.
func (k *custody) readers(c *Catalog, n int, key func(*rand.Rand) string) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for {
				select {
				case <-done:
					return
				default:
				}
				name := key(r)
				if p, err := c.Open(name); err == nil {
					k.use(p, name)
				} else if !errors.Is(err, wire.ErrNotFound) || wire.CauseOf(err) == wire.CauseUnexplained {
					k.t.Errorf("Open(%q): %v", name, err)
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

// model is what a catalog should know, by key.
type model map[string]struct {
	version uint64 // 0: a miss
	cause   wire.Cause
}

// One writer, whose every step is compared with a model, among readers.
func TestAgainstModel(t *testing.T) { againstModel(t, nil) }

// The same with a journal: at every step a restart would find the newest version
// of each key, or none; and none of a key that was deleted.
func TestJournalAgainstModel(t *testing.T) { againstModel(t, newPaper()) }

func againstModel(t *testing.T, p *paper) {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	key := func(r *rand.Rand) string { return fmt.Sprintf("key%d", r.IntN(40)) }
	k := newCustody(t)
	cfg := Config{Epoch: 1, OnFree: k.free}
	if p != nil {
		cfg.Journal = p
	}
	c := newCatalog(t, cfg)
	stop := k.readers(c, 2, key)

	want := model{}
	last := map[string]uint64{} // the newest version ever committed
	var staged []*Staged
	pick := func() *Staged {
		i := r.IntN(len(staged))
		s := staged[i]
		staged = append(staged[:i], staged[i+1:]...)
		return s
	}
	miss := func(name string, cause wire.Cause) {
		e := want[name]
		e.version, e.cause = 0, cause
		want[name] = e
	}
	for range 20_000 {
		name := key(r)
		cur := want[name].version
		switch r.IntN(12) {
		case 0, 1, 2:
			o := object.PutOptions{Condition: object.Condition(r.IntN(3)), WantReplaced: r.IntN(2) == 0}
			if r.IntN(3) == 0 {
				o.Expires = time.Now().Add(time.Hour)
			}
			first, late := o, r.IntN(4) == 0
			if late {
				first = object.PutOptions{}
			}
			s, err := c.Begin(name, first)
			met := late || o.Condition == object.Always || (o.Condition == object.IfPresent) == (cur != 0)
			if met != (err == nil) {
				t.Fatalf("Begin(%q, %+v) on version %d: %v", name, o, cur, err)
			}
			var refused *ConditionError
			if errors.As(err, &refused) && refused.Standing != nil {
				k.use(refused.Standing, name)
			}
			if err != nil {
				continue
			}
			k.begin(s.Version())
			if err := errors.Join(s.SetOptions(o), s.SetPlan(object.Shape{Data: 1, Parity: 1}, 10), s.Place(0, []Place{{Node: 1, Instance: 1}, {Node: 2, Instance: 2}})); err != nil {
				t.Fatal(err)
			}
			staged = append(staged, s)
		case 3, 4, 5, 6:
			if len(staged) > 0 {
				s := pick()
				name := s.key
				cur := want[name].version
				met := s.o.Condition == object.Always || (s.o.Condition == object.IfPresent) == (cur != 0)
				res, err := s.Commit(10)
				if err != nil || res.Stored != met {
					t.Fatalf("Commit(%q, %+v) on version %d: %+v, %v", name, s.o, cur, res, err)
				}
				if (res.Replaced != nil) != (s.o.WantReplaced && cur != 0) {
					t.Errorf("Commit(%q, %+v) on version %d pinned %v", name, s.o, cur, res.Replaced)
				}
				if res.Replaced != nil {
					if v := res.Replaced.Info().Version; v != cur {
						t.Errorf("Commit(%q) replaced version %d, want %d", name, v, cur)
					}
					k.use(res.Replaced, name)
				}
				if met {
					e := want[name]
					e.version = s.Version()
					want[name] = e
					last[name] = e.version
				}
			}
		case 7:
			if len(staged) > 0 {
				pick().Abort()
			}
		case 8:
			existed, taken, err := c.Delete(name, r.IntN(2) == 0)
			if existed != (cur != 0) || err != nil {
				t.Fatalf("Delete(%q) on version %d = %v, %v", name, cur, existed, err)
			}
			if taken != nil {
				k.use(taken, name)
			}
			if existed {
				miss(name, wire.CauseDeleted)
			}
			last[name] = 0
		case 9:
			if i, ok := c.Evict(nil); ok {
				if want[i.Key].version != i.Version {
					t.Fatalf("evicted %q version %d, want %d", i.Key, i.Version, want[i.Key].version)
				}
				miss(i.Key, wire.CauseEvicted)
			}
		case 10:
			if c.Lose(name, cur, wire.CauseLost) != (cur != 0) {
				t.Fatalf("Lose(%q, %d) is wrong", name, cur)
			}
			if cur != 0 {
				miss(name, wire.CauseLost)
			}
		case 11:
			if r.IntN(100) == 0 {
				c.ExpireDue(time.Now().Add(2*time.Hour), 0)
				for name, e := range want {
					if _, err := c.Stat(name); e.version != 0 && err != nil {
						miss(name, wire.CauseExpired)
					}
				}
			}
		}
		i, err := c.Stat(name)
		if e := want[name]; e.version != i.Version || err != nil && e.cause != wire.CauseUnexplained && wire.CauseOf(err) != e.cause {
			t.Fatalf("Stat(%q) = version %d, %v; want version %d, %v", name, i.Version, err, e.version, e.cause)
		}
		if p == nil {
			continue
		}
		if r.IntN(20) == 0 {
			p.writeSome(r)
		}
		for name, newest := range last {
			if found := p.find(name); found != 0 && found != newest {
				t.Fatalf("a restart finds version %d of %q, acknowledged was %d", found, name, newest)
			}
		}
	}
	for _, s := range staged {
		s.Abort()
	}
	stop()
	if p != nil {
		compare(t, "in the end", p.restart(t, true), snapshot(c))
	}
	k.settle(c)
}

// Many of everything at once: nothing is freed twice, early or never.
func TestConcurrentWorkload(t *testing.T) {
	k := newCustody(t)
	c := newCatalog(t, Config{OnFree: k.free})
	key := func(r *rand.Rand) string { return fmt.Sprintf("key%d", r.IntN(8)) }
	stop := k.readers(c, 2, key)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 2))
			for range 5_000 {
				work(k, c, r, key(r))
			}
		})
	}
	wg.Wait()
	stop()
	k.settle(c)
}

// work does one thing at random.
func work(k *custody, c *Catalog, r *rand.Rand, name string) {
	switch r.IntN(12) {
	default:
		o := object.PutOptions{Condition: object.Condition(r.IntN(3)), WantReplaced: true, KeepExpiry: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			o.Expires = time.Now().Add(time.Duration(r.IntN(3)-1) * time.Millisecond)
		}
		s, err := c.Begin(name, o)
		var refused *ConditionError
		if errors.As(err, &refused) && refused.Standing != nil {
			k.use(refused.Standing, name)
		}
		if err != nil {
			return
		}
		k.begin(s.Version())
		defer s.Abort()
		if err := errors.Join(s.SetPlan(object.Shape{Data: 1, Parity: 1}, 10), s.Place(0, []Place{{Node: 1, Instance: 1}, {Node: 2, Instance: 2}})); err != nil {
			k.t.Error(err)
		}
		if r.IntN(4) == 0 {
			return
		}
		res, err := s.Commit(10)
		if err != nil && !errors.Is(err, wire.ErrLost) {
			k.t.Error(err)
		}
		if res.Replaced != nil {
			k.use(res.Replaced, name)
		}
	case 0:
		if _, p, _ := c.Delete(name, true); p != nil {
			k.use(p, name)
		}
	case 1:
		c.Evict(nil)
	case 2:
		c.Evict(func(p Place) bool { return p.Node == 2 })
	case 3:
		at := time.Now().Add(time.Duration(r.IntN(3)-1) * time.Millisecond)
		if _, _, err := c.SetExpiry(name, expireAt(at)); err != nil {
			k.t.Error(err)
		}
	case 4:
		c.ExpireDue(time.Now(), r.IntN(3))
	case 5:
		if i, err := c.Stat(name); err == nil {
			c.Lose(name, i.Version, wire.CauseLost)
		}
	case 6:
		c.LoseInstance(uint32(1+r.IntN(2)), func(d Damage) {
			if p := c.PinVersion(d.Record.Key, d.Record.Version); p != nil {
				k.use(p, d.Record.Key)
			}
		})
	case 7:
		if r.IntN(50) == 0 {
			c.Flush()
		}
	}
}

// Of writers that each require the key to be absent exactly one stores.
func TestOneOfManyIsFirst(t *testing.T) {
	k := newCustody(t)
	c := newCatalog(t, Config{OnFree: k.free})
	for round := range 200 {
		name := fmt.Sprint(round)
		var staged []*Staged
		for range 4 {
			s := stage(t, c, name, 1, object.PutOptions{Condition: object.IfAbsent, WantReplaced: true})
			k.begin(s.Version())
			staged = append(staged, s)
		}
		results := make([]Result, len(staged))
		var wg sync.WaitGroup
		for i, s := range staged {
			wg.Go(func() {
				var err error
				if results[i], err = s.Commit(1); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		i, err := c.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		stored := 0
		for _, r := range results {
			switch {
			case r.Stored:
				stored++
			case r.Replaced == nil || r.Replaced.Info().Version != i.Version:
				t.Errorf("loser got %+v, want a pin on version %d", r, i.Version)
			default:
				k.use(r.Replaced, name)
			}
		}
		if stored != 1 {
			t.Fatalf("%d of %d stored, want 1", stored, len(results))
		}
	}
	k.settle(c)
}
