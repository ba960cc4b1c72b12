package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/trace"
	"github.com/infinicache/infinicache/internal/wire"
)

// requests is a Source of a few requests.
type requests struct {
	list []trace.Request
	err  error // after the last; nil means io.EOF
}

func (r *requests) Next() (trace.Request, error) {
	if len(r.list) == 0 {
		if r.err != nil {
			return trace.Request{}, r.err
		}
		return trace.Request{}, io.EOF
	}
	req := r.list[0]
	r.list = r.list[1:]
	return req, nil
}

// source makes a trace of "object bytes" pairs, a second apart.
func source(pairs ...string) *requests {
	var r requests
	for i, p := range pairs {
		req := trace.Request{At: time.Duration(i) * time.Second, Status: 200}
		fmt.Sscan(p, &req.Object, &req.Size)
		r.list = append(r.list, req)
	}
	return &r
}

// memory is a Cache in a map.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	busy    map[string]int
	overlap bool  // two calls for one key at a time were seen
	active  int   // calls now
	most    int   // and at most
	getErr  error // of every Get
	putErr  error // of every Put
	delay   time.Duration
	spoil   func(key string, value []byte) []byte
}

func newMemory() *memory { return &memory{objects: map[string][]byte{}, busy: map[string]int{}} }

func (m *memory) enter(key string) func() {
	m.mu.Lock()
	m.busy[key]++
	m.active++
	m.overlap = m.overlap || m.busy[key] > 1
	m.most = max(m.most, m.active)
	m.mu.Unlock()
	if m.delay > 0 {
		time.Sleep(m.delay) // in a bubble only
	}
	return func() {
		m.mu.Lock()
		m.busy[key]--
		m.active--
		m.mu.Unlock()
	}
}

func (m *memory) Get(_ context.Context, key string, sink func(int64) io.Writer) error {
	defer m.enter(key)()
	m.mu.Lock()
	value, ok := m.objects[key]
	err := m.getErr
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if !ok {
		return wire.Miss(wire.CauseNeverStored)
	}
	if m.spoil != nil {
		value = m.spoil(key, bytes.Clone(value))
	}
	_, err = sink(int64(len(value))).Write(value)
	return err
}

func (m *memory) Put(_ context.Context, key string, size int64, body io.Reader) error {
	defer m.enter(key)()
	if m.putErr != nil {
		return m.putErr
	}
	value, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[key] = value
	return nil
}

func TestHitsAndMisses(t *testing.T) {
	got, err := Run(t.Context(), Config{Trace: source("a 100", "b 50", "a 100", "a 70", "c 0", "c 0"), Cache: newMemory(), Clients: 2})
	if err != nil {
		t.Fatal(err)
	}
	got.Seconds, got.HitLatency, got.MissLatency, got.PutLatency = 0, Latency{}, Latency{}, Latency{}
	want := Report{
		Requests: 6, Hits: 3, HitRatio: 0.5, Misses: map[string]uint64{"never-stored": 3},
		Bytes: 200, StoredBytes: 150, Verified: true, Objects: 3,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestScaleAndCount(t *testing.T) {
	cache := newMemory()
	got, err := Run(t.Context(), Config{Trace: source("a 100", "b 50", "c 1"), Cache: cache, Scale: 0.1, Requests: 2})
	if err != nil || got.Requests != 2 || len(cache.objects["a"]) != 10 || len(cache.objects["b"]) != 5 {
		t.Errorf("%d requests, sizes %d and %d, error %v", got.Requests, len(cache.objects["a"]), len(cache.objects["b"]), err)
	}
}

func TestWrongBytes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(string, []byte) []byte
		wrong int64
	}{
		{"right", func(_ string, b []byte) []byte { return b }, 0},
		{"flipped", func(_ string, b []byte) []byte { b[7] ^= 1; return b }, 1},
		{"short", func(_ string, b []byte) []byte { return b[:90] }, 10},
		{"long", func(_ string, b []byte) []byte { return append(b, 1, 2) }, 2},
		{"empty", func(string, []byte) []byte { return nil }, 100},
		{"another", func(string, []byte) []byte { b, _ := io.ReadAll(trace.Content("z", 100)); return b }, 99},
	} {
		cache := newMemory()
		cache.spoil = tt.spoil
		got, err := Run(t.Context(), Config{Trace: source("a 100", "a 100"), Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		// Of random bytes, a few agree by chance.
		if got.WrongBytes < tt.wrong || got.WrongBytes > tt.wrong+1 || (got.FirstWrong == "") != (tt.wrong == 0) {
			t.Errorf("%s: %d wrong bytes, %q, want %d", tt.name, got.WrongBytes, got.FirstWrong, tt.wrong)
		}
		if blind, _ := Run(t.Context(), Config{Trace: source("a 100", "a 100"), Cache: cache, Unverified: true}); blind.WrongBytes != 0 || blind.Verified {
			t.Errorf("%s: unverified, but %d wrong bytes", tt.name, blind.WrongBytes)
		}
	}
}

func TestCauses(t *testing.T) {
	for _, tt := range []struct {
		err    error
		cause  string
		losses uint64
	}{
		{wire.Miss(wire.CauseEvicted), "evicted", 0},
		{wire.Miss(wire.CauseLost), "lost", 1},
		{fmt.Errorf("read: %w", wire.ErrLost), "lost", 1},
		{wire.ErrUnheard, "unheard", 1},
		{wire.ErrTimeout, "slow", 0},
		{wire.ErrNotFound, "unexplained", 0},
	} {
		cache := newMemory()
		cache.getErr = tt.err
		got, err := Run(t.Context(), Config{Trace: source("a 1"), Cache: cache})
		if err != nil || got.Misses[tt.cause] != 1 || got.Losses != tt.losses || got.Errors != 0 || got.StoredBytes != 1 {
			t.Errorf("%v: %+v, error %v", tt.err, got, err)
		}
	}
}

func TestErrorsAreCounted(t *testing.T) {
	cache := newMemory()
	cache.getErr, cache.putErr = errors.New("connection reset"), wire.ErrFull
	got, err := Run(t.Context(), Config{Trace: source("a 1", "b 1", "a 1"), Cache: cache, Clients: 1})
	if err != nil || got.Errors != 3 || got.FailedPuts != 3 || got.Requests != 3 || got.FirstError != "connection reset" {
		t.Errorf("%+v, error %v", got, err)
	}
}

func TestGivesUp(t *testing.T) {
	cache := newMemory()
	cache.getErr, cache.putErr = wire.ErrUnavailable, wire.ErrUnavailable
	var many []string
	for i := range 10 * giveUp {
		many = append(many, fmt.Sprintf("o%d 1", i))
	}
	got, err := Run(t.Context(), Config{Trace: source(many...), Cache: cache})
	if !errors.Is(err, ErrGone) || got.Requests < giveUp || got.Requests > giveUp+8 {
		t.Errorf("%d requests, error %v", got.Requests, err)
	}
}

func TestBadTrace(t *testing.T) {
	src := source("a 1")
	src.err = trace.ErrMalformed
	got, err := Run(t.Context(), Config{Trace: src, Cache: newMemory()})
	if !errors.Is(err, trace.ErrMalformed) || got.Requests != 1 {
		t.Errorf("%d requests, error %v", got.Requests, err)
	}
}

func TestOneObjectAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := newMemory()
		cache.delay = time.Millisecond
		var list []string
		for i := range 200 {
			list = append(list, fmt.Sprintf("o%d 10", (i*i)%7))
		}
		got, err := Run(t.Context(), Config{Trace: source(list...), Cache: cache, Clients: 4})
		if err != nil || got.Requests != 200 || got.WrongBytes != 0 {
			t.Errorf("%+v, error %v", got, err)
		}
		if cache.overlap {
			t.Error("two requests for one object were in flight")
		}
		if cache.most < 2 || cache.most > 4 {
			t.Errorf("%d requests were in flight at most, want up to 4", cache.most)
		}
	})
}

func TestSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if _, err := Run(t.Context(), Config{Trace: source("a 1", "b 1", "c 1"), Cache: newMemory(), Speed: 4}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("two seconds of trace at speed 4 took %v", took)
		}
	})
}

func TestReclaimMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		got, err := Run(t.Context(), Config{
			Trace: source("a 1", "b 1", "c 1"), Cache: newMemory(), Speed: 1,
			ReclaimEvery: 600 * time.Millisecond,
			Reclaim:      func(context.Context) (int, error) { calls++; return 2, nil },
		})
		if err != nil || calls != 3 || got.Reclaimed != 6 {
			t.Errorf("%d calls, %d reclaimed, error %v", calls, got.Reclaimed, err)
		}
		_, err = Run(t.Context(), Config{
			Trace: source("a 1", "b 1", "c 1"), Cache: newMemory(), Speed: 1,
			ReclaimEvery: time.Millisecond,
			Reclaim:      func(context.Context) (int, error) { return 0, wire.ErrClosed },
		})
		if !errors.Is(err, wire.ErrClosed) {
			t.Errorf("a reclaim that fails: %v", err)
		}
	})
}

func TestEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		progress := 0
		var many []string
		for range 1000 {
			many = append(many, "a 1")
		}
		got, err := Run(ctx, Config{
			Trace: source(many...), Cache: newMemory(), Speed: 1,
			Progress: func(Report) { progress++ },
		})
		if !errors.Is(err, context.DeadlineExceeded) || got.Requests < 89 || got.Requests > 91 || progress < 88 {
			t.Errorf("%d requests, %d times progress, error %v", got.Requests, progress, err)
		}
	})
}

func TestBadConfig(t *testing.T) {
	_, err := Run(t.Context(), Config{Scale: -1, Requests: -1, Speed: -1, Clients: -1, ReclaimEvery: -1})
	for _, field := range []string{"Trace", "Cache", "Scale", "Requests", "Speed", "Clients", "ReclaimEvery"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}
