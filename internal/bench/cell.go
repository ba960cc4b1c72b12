package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// maxKeys bounds the keys of one client.
	maxKeys = 256
	// maxErrors is after how many errors a client stops.
	maxErrors = 10
	// sampleEvery is how often memory is looked at.
	sampleEvery = 200 * time.Millisecond
	// edge is how many bytes of every value that comes back are compared, at both
	// ends; the last one that each client read is compared whole.
	edge = 64
)

// errWrong means that other bytes came back than were stored.
var errWrong = errors.New("wrong bytes came back")

// valueOf makes a value that does not compress.
func valueOf(size int) []byte {
	rng := rand.NewChaCha8([32]byte{'b', 'e', 'n', 'c', 'h'})
	value := make([]byte, size)
	rng.Read(value) // never fails
	return value
}

// cell is one size and number of clients, for all targets.
type cell struct {
	cfg     Config
	value   []byte
	keys    int        // per client
	clients [][]Client // by target
}

func newCell(cfg Config, value []byte, clients int) *cell {
	keys := cfg.WorkingSet / int64(len(value)) / int64(clients)
	c := &cell{cfg: cfg, value: value, keys: int(min(max(keys, 1), maxKeys))}
	for _, target := range cfg.Targets {
		var all []Client
		for range clients {
			all = append(all, target.Client(len(value)))
		}
		c.clients = append(c.clients, all)
	}
	return c
}

func (c *cell) key(client, n int) string {
	return fmt.Sprintf("bench/%d/%d/%d", len(c.value), client, n%c.keys)
}

// run lets all clients of a target work on one operation for its part of the
// time. The error is about ctx or the measuring; the cache's own are counted.
func (c *cell) run(ctx context.Context, target int, op Op, round int) (measure, error) {
	if op != Set && round == 0 {
		if err := c.fill(ctx, target); err != nil {
			return measure{errors: 1, firstErr: err}, ctx.Err()
		}
	}
	// What the target before left behind is not this one's memory.
	debug.FreeOSMemory()

	usage := c.cfg.Targets[target].Usage
	var m measure
	before, err := usageOf(ctx, usage)
	if err != nil {
		return m, err
	}
	m.noUsage = usage == nil
	sampled := c.sample(ctx, usage)
	spent := ownCPU()

	began := time.Now()
	length := time.Duration(c.cfg.Seconds * float64(time.Second) / rounds)
	parts := make([]measure, len(c.clients[target]))
	var all sync.WaitGroup
	for i, client := range c.clients[target] {
		all.Go(func() {
			w := worker{cell: c, client: client, number: i, op: op, m: &parts[i]}
			w.work(ctx, began.Add(length), uint64(round))
		})
	}
	all.Wait()
	m.took = time.Since(began)

	m.clientCPU = max(ownCPU()-spent, 0)
	after, err := usageOf(ctx, usage)
	peak := sampled()
	if err != nil {
		return m, err
	}
	m.proxyCPU = max(after.ProxyCPU-before.ProxyCPU, 0)
	m.nodesCPU = max(after.NodesCPU-before.NodesCPU, 0)
	m.clientMemory = peak.client
	m.proxyMemory = max(peak.usage.ProxyMemory, after.ProxyMemory)
	m.nodesMemory = max(peak.usage.NodesMemory, after.NodesMemory)
	for i := range parts {
		took := m.took
		m.add(&parts[i])
		m.took = took
	}
	return m, ctx.Err()
}

// fill stores every key, so that reads find them.
func (c *cell) fill(ctx context.Context, target int) error {
	for i, client := range c.clients[target] {
		for n := range c.keys {
			if err := client.Set(ctx, c.key(i, n), c.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// clear deletes what the cell stored.
func (c *cell) clear(ctx context.Context) error {
	for t, clients := range c.clients {
		for i, client := range clients {
			for n := range c.keys {
				if err := client.Delete(ctx, c.key(i, n)); err != nil {
					return fmt.Errorf("%s: delete: %w", c.cfg.Targets[t].Name, err)
				}
			}
		}
	}
	return nil
}

// worker is one client at work.
type worker struct {
	*cell
	client Client
	number int
	op     Op
	m      *measure
}

// work works until a time, and once if that is over already.
func (w *worker) work(ctx context.Context, until time.Time, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, uint64(w.number)))
	var last []byte
	first := rng.IntN(w.keys)
	for n := first; ctx.Err() == nil && w.m.errors < maxErrors && (n == first || time.Now().Before(until)); n++ {
		key := w.key(w.number, n)
		began := time.Now()
		var err error
		if w.op == Get || w.op == Mix && rng.Float64() < w.cfg.ReadShare {
			if last, err = w.client.Get(ctx, key); err == nil {
				err = w.glance(last)
			}
		} else {
			err = w.client.Set(ctx, key, w.value)
		}
		if err != nil {
			w.fail(ctx, err)
			continue
		}
		w.m.times.Add(time.Since(began))
		w.m.ops++
		w.m.bytes += uint64(len(w.value))
	}
	if last != nil && !bytes.Equal(last, w.value) {
		w.fail(ctx, errWrong)
	}
}

// glance compares size and both ends.
func (w *worker) glance(got []byte) error {
	n := min(edge, len(w.value))
	if len(got) != len(w.value) || !bytes.Equal(got[:n], w.value[:n]) ||
		!bytes.Equal(got[len(got)-n:], w.value[len(got)-n:]) {
		return errWrong
	}
	return nil
}

func (w *worker) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.m.errors++
	if w.m.firstErr == nil {
		w.m.firstErr = err
	}
}

func usageOf(ctx context.Context, usage func(context.Context) (Usage, error)) (Usage, error) {
	if usage == nil {
		return Usage{}, nil
	}
	u, err := usage(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("usage: %w", err)
	}
	return u, nil
}

// peak is the most memory that was seen.
type peak struct {
	client int64
	usage  Usage
}

// sample looks at memory until the returned function is called, which returns
// the most that was seen.
func (c *cell) sample(ctx context.Context, usage func(context.Context) (Usage, error)) func() peak {
	stop, ended := make(chan struct{}), make(chan peak, 1)
	go func() {
		var most peak
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			most.client = max(most.client, OwnMemory())
			// One that fails is left out; the measuring itself asks again.
			if u, err := usageOf(ctx, usage); err == nil {
				most.usage.ProxyMemory = max(most.usage.ProxyMemory, u.ProxyMemory)
				most.usage.NodesMemory = max(most.usage.NodesMemory, u.NodesMemory)
			}
			select {
			case <-tick.C:
			case <-stop:
				ended <- most
				return
			}
		}
	}()
	return func() peak {
		close(stop)
		return <-ended
	}
}
