package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/wire"
)

// content is all that a journal says.
type content struct {
	Epoch   uint64
	Info    map[string]string
	Holders map[uint32]Holder
	Objects map[uint64]object
}

type object struct {
	Record wire.Record
	Places []place.Place
}

func (c content) clone() content {
	d := content{Epoch: c.Epoch, Info: map[string]string{}, Holders: map[uint32]Holder{}, Objects: map[uint64]object{}}
	for k, v := range c.Info {
		d.Info[k] = v
	}
	for k, v := range c.Holders {
		d.Holders[k] = v
	}
	for k, v := range c.Objects {
		d.Objects[k] = object{v.Record, append([]place.Place(nil), v.Places...)}
	}
	return d
}

func read(t testing.TB, s *State) content {
	t.Helper()
	c := content{Epoch: s.Epoch, Info: s.Info, Holders: s.Holders, Objects: map[uint64]object{}}
	if err := s.Each(func(r wire.Record, places []place.Place) bool {
		c.Objects[r.Version] = object{r, append([]place.Place(nil), places...)}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if len(c.Objects) != s.Objects {
		t.Errorf("%d objects visited, announced were %d", len(c.Objects), s.Objects)
	}
	return c
}

func open(t testing.TB, dir string) (*Journal, *State) {
	t.Helper()
	j, s, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j, s
}

// running runs a journal until stop is called, which waits for its end.
func running(t testing.TB, j *Journal) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = j.Run(ctx) })
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func settle(t testing.TB, wait func(context.Context) error) {
	t.Helper()
	if wait == nil {
		return
	}
	if err := wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func record(version uint64, key string, stripes int) wire.Record {
	return wire.Record{Key: key, Version: version, Size: int64(stripes) * 100, Data: 2, Parity: 1, Stripe: 100, Stored: 7}
}

func spread(r *rand.Rand, stripes int) []place.Place {
	places := make([]place.Place, 3*stripes)
	for i := range places {
		places[i] = place.Place{Node: r.Uint32N(100), Instance: 1 + r.Uint32N(50)}
	}
	return places
}

// workload changes a journal and a model of it alike.
type workload struct {
	r       *rand.Rand
	j       *Journal
	model   content
	version uint64
}

func newWorkload(j *Journal, seed uint64) *workload {
	return &workload{r: rand.New(rand.NewPCG(seed, 0)), j: j, model: content{}.clone()}
}

func (w *workload) any() (object, bool) {
	for _, o := range w.model.Objects {
		return o, true
	}
	return object{}, false
}

// step makes one change and returns how to wait for it.
func (w *workload) step(t *testing.T) (wait func(context.Context) error) {
	t.Helper()
	m := &w.model
	var err error
	o, some := w.any()
	switch n := w.r.IntN(20); {
	case n < 8 || !some:
		w.version++
		stripes := w.r.IntN(4)
		if w.r.IntN(10) == 0 {
			stripes = 100 + w.r.IntN(400) // several segments
		}
		r, replaced := record(w.version, fmt.Sprint("key", w.version), stripes), uint64(0)
		if some && w.r.IntN(2) == 0 {
			r.Key, replaced = o.Record.Key, o.Record.Version
			delete(m.Objects, replaced)
		}
		if w.r.IntN(20) == 0 && len(r.Key) < 100 {
			r.Key += strings.Repeat("x", 40_000)
		}
		places := spread(w.r, stripes)
		wait, err = w.j.Put(r, places, replaced)
		m.Objects[r.Version] = object{r, append([]place.Place(nil), places...)}
		clear(places)
	case n < 12:
		wait = w.j.Remove(o.Record.Key, o.Record.Version)
		delete(m.Objects, o.Record.Version)
	case n < 15:
		if len(o.Places) > 0 {
			i, p := w.r.IntN(len(o.Places)), spread(w.r, 1)[0]
			w.j.Move(o.Record.Version, i, p)
			o.Places[i] = p
		}
		w.j.Move(w.version+1, 0, place.Place{})
	case n < 17:
		o.Record.Expires = w.r.Int64N(1000)
		wait, err = w.j.Expire(o.Record.Version, o.Record.Expires)
		m.Objects[o.Record.Version] = o
	case n < 18:
		h := Holder{Node: w.r.Uint32(), Instances: make([]wire.Instance, 1+w.r.IntN(3))}
		h.Instances[0][3] = byte(w.r.Uint32())
		number := w.r.Uint32N(10)
		wait, err = w.j.Holder(number, h.Node, h.Instances)
		m.Holders[number] = h
	case n < 19:
		number := w.r.Uint32N(10)
		wait = w.j.DropHolder(number)
		delete(m.Holders, number)
	default:
		if w.r.IntN(10) == 0 {
			wait = w.j.Clear()
			clear(m.Objects)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

func copyFile(t testing.TB, from string) (dir string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, File))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, File), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFreshAndReign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "down")
	j, s := open(t, dir)
	if diff := cmp.Diff(content{}.clone(), read(t, s)); diff != "" || !s.Fresh {
		t.Errorf("fresh %v, says %s", s.Fresh, diff)
	}
	if err := errors.Join(j.Reign(41), j.Reign(42), j.SetInfo(map[string]string{"nodes": "12", "pool": "p"}), j.SetInfo(map[string]string{"pool": ""})); err != nil {
		t.Fatal(err)
	}
	_, s = open(t, copyFile(t, dir))
	want := content{}.clone()
	want.Epoch, want.Info["nodes"] = 42, "12"
	if diff := cmp.Diff(want, read(t, s)); diff != "" || s.Fresh {
		t.Errorf("fresh %v, says %s", s.Fresh, diff)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 || err != nil {
		t.Errorf("left in the directory: %v, %v", names, err)
	}
}

// What was waited for is there after a crash, and what was queued before it.
func TestCrashAfterEveryBatch(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	running(t, j)
	w := newWorkload(j, 1)
	for i := range 60 {
		for range 1 + w.r.IntN(30) {
			w.step(t)
		}
		settle(t, j.DropHolder(99))
		_, s := open(t, copyFile(t, dir))
		if diff := cmp.Diff(w.model, read(t, s)); diff != "" {
			t.Fatalf("after batch %d: %s", i, diff)
		}
	}
	if j.Status().Dropped != 0 {
		t.Errorf("moves were dropped")
	}
}

// A crash at any instant leaves what some number of batches made.
func TestCrashAnyTime(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	w := newWorkload(j, 2)
	var states []content
	for range 30 {
		w.step(t)
		states = append(states, w.model.clone())
		if j.take() { // so that every change is a batch of its own
			if err := j.write(); err != nil {
				t.Fatal(err)
			}
		}
		_, s := open(t, copyFile(t, dir))
		if diff := cmp.Diff(states[len(states)-1], read(t, s)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestEndOfRunWritesTheQueue(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	stop := running(t, j)
	w := newWorkload(j, 3)
	for range 300 {
		w.step(t)
	}
	stop()
	if _, err := j.Put(record(1<<40, "late", 0), nil, 0); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrFailed) {
		t.Errorf("Put after the end: %v", err)
	}
	if err := j.Remove("late", 1)(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Remove after the end: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, s := open(t, dir)
	if diff := cmp.Diff(w.model, read(t, s)); diff != "" {
		t.Error(diff)
	}
}

func TestWhoMustWait(t *testing.T) {
	j, _ := open(t, t.TempDir())
	put := func(version uint64, key string, replaced uint64) bool {
		wait, err := j.Put(record(version, key, 1), spread(rand.New(rand.NewPCG(1, 1)), 1), replaced)
		if err != nil {
			t.Fatal(err)
		}
		return wait != nil
	}
	if put(1, "a", 0) || put(2, "b", 0) || j.Settled("a") != nil {
		t.Error("additions have to wait")
	}
	if !put(3, "a", 1) || !put(4, "a", 0) {
		t.Error("replacing, or adding after it, need not wait")
	}
	j.Remove("b", 2)
	if j.Settled("b") == nil || !put(5, "b", 0) || j.Settled("c") != nil || put(6, "c", 0) {
		t.Error("who waits after a removal is wrong")
	}
	j.Clear()
	if j.Settled("d") == nil || !put(7, "d", 0) {
		t.Error("after a clear nothing waits")
	}
	running(t, j)
	settle(t, j.DropHolder(1))
	for _, key := range []string{"a", "b", "c", "d"} {
		if j.Settled(key) != nil {
			t.Errorf("%s is not settled", key)
		}
	}
	if put(8, "a", 0) || len(j.removals) > 0 {
		t.Error("what is on disk still makes others wait")
	}
}

func TestFullQueue(t *testing.T) {
	j, _, err := Open(t.TempDir(), Config{Queue: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	waits := 0
	for i := range uint64(20) {
		wait, err := j.Put(record(i+1, fmt.Sprint(i), 0), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if wait != nil {
			waits++
		}
	}
	j.Move(1, 0, place.Place{})
	if s := j.Status(); waits < 10 || waits > 15 || s.Dropped != 1 || s.Queued != 20 {
		t.Errorf("%d of 20 wait, %+v", waits, s)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, _, err := Open(dir, Config{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open: %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	if _, _, err := Open(t.TempDir(), Config{Queue: -1}); err == nil {
		t.Error("a queue of -1 bytes is accepted")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(file, Config{}); err == nil || errors.Is(err, ErrCorrupt) {
		t.Errorf("a file for a directory: %v", err)
	}
}

// Many who wait share a sync.
func TestGroupCommit(t *testing.T) {
	j, _ := open(t, t.TempDir())
	running(t, j)
	var wg sync.WaitGroup
	for i := range uint64(64) {
		wg.Go(func() {
			for n := range uint64(20) {
				settle(t, j.Remove("k", i*100+n))
			}
		})
	}
	wg.Wait()
	if s := j.Status(); s.Ops != 64*20 || s.Batches > s.Ops/4 {
		t.Errorf("%d transactions for %d changes", s.Batches, s.Ops)
	}
}

// What could not be read again is not written.
func TestRefusesNonsense(t *testing.T) {
	j, _ := open(t, t.TempDir())
	good := record(1, "k", 0)
	for name, change := range map[string]func(*wire.Record){
		"no key": func(r *wire.Record) { r.Key = "" }, "no version": func(r *wire.Record) { r.Version = 0 },
		"no shape": func(r *wire.Record) { r.Data = 0 }, "no stripe": func(r *wire.Record) { r.Stripe = 0 },
		"too few places": func(r *wire.Record) { r.Size = 1 }, "expiry": func(r *wire.Record) { r.Expires = -1 },
	} {
		r := good
		change(&r)
		if _, err := j.Put(r, nil, 0); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := j.Expire(1, -1); err == nil {
		t.Error("a negative expiry is accepted")
	}
	if _, err := j.Put(good, nil, 0); err != nil || j.Status().Queued != 1 {
		t.Errorf("Put = %v, %+v", err, j.Status())
	}
}

func TestWaitHeedsItsContext(t *testing.T) {
	j, _ := open(t, t.TempDir())
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if err := j.Remove("k", 1)(ctx); err != cause {
		t.Errorf("wait = %v, want %v", err, cause)
	}
}

// The seal of a version outlives the process, and a change of its expiry.
func TestSealsAreKept(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	stop := running(t, j)
	r := record(7, "k", 1)
	r.Seal = wire.Seal{Key: [8]byte{1}, Salt: [16]byte{2}}
	places := spread(rand.New(rand.NewPCG(1, 2)), 1)
	wait, err := j.Put(r, places, 0)
	if err != nil {
		t.Fatal(err)
	}
	settle(t, wait)
	r.Expires = 1 << 50
	if wait, err = j.Expire(r.Version, r.Expires); err != nil {
		t.Fatal(err)
	}
	settle(t, wait)
	stop()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, s := open(t, dir)
	if d := cmp.Diff(map[uint64]object{7: {r, places}}, read(t, s).Objects); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
}
