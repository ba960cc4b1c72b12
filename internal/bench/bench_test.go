package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// table is a cache in a map, for all its clients.
type table struct {
	mu     sync.Mutex
	values map[string][]byte
	spoil  bool
	broken error
	gets   int
	sets   int
	most   int // GETs and SETs, after which enough is called; 0 is no limit
	enough func()
}

// count counts operations. t.mu is held.
func (t *table) count(n *int) {
	if *n++; t.most > 0 && t.gets+t.sets >= t.most {
		t.enough()
	}
}

func (t *table) Set(_ context.Context, key string, value []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(&t.sets)
	t.values[key] = value
	return t.broken
}

func (t *table) Get(_ context.Context, key string) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count(&t.gets)
	value, ok := t.values[key]
	if !ok {
		return nil, errors.New("not there")
	}
	if t.spoil {
		value = append([]byte{value[0] ^ 1}, value[1:]...)
	}
	return value, t.broken
}

func (t *table) Delete(_ context.Context, key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.values, key)
	return nil
}

func target(name string) (*table, Target) {
	t := &table{values: map[string][]byte{}}
	var spent time.Duration
	return t, Target{
		Name:   name,
		Client: func(int) Client { return t },
		Usage: func(context.Context) (Usage, error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			spent += time.Millisecond
			return Usage{ProxyCPU: spent, ProxyMemory: 7, NodesMemory: 9}, nil
		},
	}
}

func TestRun(t *testing.T) {
	a, ta := target("a")
	b, tb := target("b")
	tb.Usage = nil
	var rows []Row
	steps := 0
	err := Run(t.Context(), Config{
		Targets: []Target{ta, tb}, Sizes: []int64{10, 1000}, Clients: []int{1, 3}, Seconds: 0.01, ReadShare: -1,
		WorkingSet: 10_000,
		Progress: func(done, total int, what string) {
			if done != steps || total != 32 || what == "" {
				t.Errorf("progress %d of %d: %q", done, total, what)
			}
			steps++
		},
	}, func(r Row) { rows = append(rows, r) })
	if err != nil || len(rows) != 16 || steps != 32 {
		t.Fatalf("%d rows, %d steps, error %v", len(rows), steps, err)
	}
	for i, r := range rows {
		if want := []string{"a", "b"}[i%2]; r.Target != want || r.Op != []Op{Set, Get}[i/2%2] {
			t.Errorf("row %d is %s %s", i, r.Target, r.Op)
		}
		if r.Errors != 0 || r.Ops == 0 || r.BytesPerSecond <= 0 || r.Seconds < 0.01 {
			t.Errorf("row %d: %+v", i, r)
		}
		if r.CPU.Known != (r.Target == "a") || (r.CPU.Proxy > 0) != (r.Target == "a") || (r.Memory.Nodes == 9) != (r.Target == "a") {
			t.Errorf("row %d: usage %+v %+v", i, r.CPU, r.Memory)
		}
	}
	if len(a.values)+len(b.values) != 0 {
		t.Errorf("%d and %d values are left", len(a.values), len(b.values))
	}
}

func TestMix(t *testing.T) {
	cache, tg := target("a")
	cfg := Config{Targets: []Target{tg}, Sizes: []int64{1000}, Clients: []int{2}, Seconds: 0.02, ReadShare: 0.75}
	err := Run(t.Context(), cfg, func(r Row) {
		if r.Op != Mix || r.Errors != 0 {
			t.Errorf("row %+v", r)
		}
	})
	if err != nil {
		t.Error(err)
	}
	ctx, enough := context.WithCancel(t.Context())
	cache.gets, cache.sets, cache.most, cache.enough = 0, 0, 10_000, enough
	cfg.Seconds = 3600
	if err := Run(ctx, cfg, func(Row) {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The keys are filled with SETs beforehand.
	if share := float64(cache.gets) / float64(cache.gets+cache.sets-2*maxKeys); share < 0.7 || share > 0.8 {
		t.Errorf("share of reads %v", share)
	}
}

func TestFaultsAreCounted(t *testing.T) {
	spoiled, ts := target("spoiled")
	spoiled.spoil = true
	broken, tb := target("broken")
	broken.broken = errors.New("no room")
	err := Run(t.Context(), Config{Targets: []Target{ts, tb}, Sizes: []int64{1000}, Clients: []int{1}, Seconds: 10, ReadShare: 1},
		func(r Row) {
			want := map[string]string{"spoiled": errWrong.Error(), "broken": "no room"}[r.Target]
			if r.Errors == 0 || r.FirstError != want {
				t.Errorf("%s: %d errors, first %q, want %q", r.Target, r.Errors, r.FirstError, want)
			}
		})
	if err != nil {
		t.Error(err)
	}
}

func TestEnds(t *testing.T) {
	_, tg := target("a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := Run(ctx, Config{Targets: []Target{tg}, Sizes: []int64{10}, Clients: []int{1}, Seconds: 3600}, func(Row) {})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run = %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	err := Run(t.Context(), Config{Sizes: []int64{0}, Clients: []int{0}, Seconds: -1, ReadShare: 2, WorkingSet: -1}, func(Row) {})
	for _, field := range []string{"Targets", "Sizes", "Clients", "Seconds", "ReadShare", "WorkingSet"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}

func TestRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	server, err := StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	r := NewRedis(server.Address)
	defer r.Close()
	rows := 0
	err = Run(t.Context(), Config{
		Targets: []Target{r.Target()}, Sizes: []int64{1 << 20}, Clients: []int{2}, Seconds: 0.1, ReadShare: -1, WorkingSet: 4 << 20,
	}, func(r Row) {
		rows++
		if r.Errors != 0 || r.Ops == 0 || r.Memory.Proxy == 0 || !r.CPU.Known {
			t.Errorf("row %+v", r)
		}
	})
	if err != nil || rows != 2 {
		t.Errorf("%d rows, error %v", rows, err)
	}
}

func TestProcess(t *testing.T) {
	own, _, memory, err := Process(os.Getpid())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("not known on this system")
	}
	if err != nil || own < 0 || memory < 1<<20 || OwnMemory() < 1<<20 {
		t.Errorf("Process(self) = %v, %d bytes, %v", own, memory, err)
	}
	if _, _, _, err := Process(1 << 30); err == nil {
		t.Error("Process of nobody gave no error")
	}
}
