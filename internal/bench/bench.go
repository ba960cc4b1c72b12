// Package bench measures caches side by side: the same client process drives
// each of them in turn through the same sizes, numbers of clients and mixes of
// operations, and what client and servers spend on it is read from the system.
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/infinicache/infinicache/internal/latency"
)

// Client is one of the clients that drive a cache at the same time. It is used
// by one goroutine.
type Client interface {
	// Set stores value, which does not change, and does not keep it.
	Set(ctx context.Context, key string, value []byte) error
	// Get returns the value, which the caller reads until its next call. A key
	// that holds nothing is an error.
	Get(ctx context.Context, key string) ([]byte, error)
	// Delete makes key hold nothing.
	Delete(ctx context.Context, key string) error
}

// Target is a cache that is measured.
type Target struct {
	Name string
	// Client makes a client for values of size bytes.
	Client func(size int) Client
	// Usage tells what the cache's own processes have spent and hold; nil where
	// that cannot be known.
	Usage func(context.Context) (Usage, error)
}

// Usage is what the processes of a cache have spent since their start, and the
// memory that they hold now, in resident bytes.
type Usage struct {
	ProxyCPU, NodesCPU       time.Duration
	ProxyMemory, NodesMemory int64
}

// Op is what is measured.
type Op string

const (
	Get Op = "get"
	Set Op = "set"
	Mix Op = "mix" // of both, by Config.ReadShare
)

// MaxClients is the most clients at a time.
const MaxClients = 256

// rounds is how often targets alternate in one cell, so that what else the
// machine does hits both alike.
const rounds = 2

// Config says what is measured.
type Config struct {
	Targets []Target
	Sizes   []int64 // bytes of a value, 1 to 1 GiB
	Clients []int   // at a time, 1 to MaxClients
	// Seconds is how long each target runs each operation of each size and
	// number of clients. What is under way at the end is finished.
	Seconds float64
	// ReadShare, 0 to 1, is the share of GETs in a mix. Negative measures SET and
	// GET apart.
	ReadShare float64
	// WorkingSet is about how many bytes of values a cell stores; zero means 256
	// MiB. Each client has one key at least and 256 at most.
	WorkingSet int64

	// Progress is told what is about to be measured; nil for nobody.
	Progress func(done, total int, what string)
}

func (c *Config) check() error {
	var errs []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	complain(len(c.Targets) == 0, "Targets: none given")
	complain(len(c.Sizes) == 0, "Sizes: none given")
	complain(len(c.Clients) == 0, "Clients: none given")
	for _, s := range c.Sizes {
		complain(s < 1 || s > 1<<30, "Sizes: %d given, 1 to %d bytes allowed", s, 1<<30)
	}
	for _, n := range c.Clients {
		complain(n < 1 || n > MaxClients, "Clients: %d given, 1 to %d allowed", n, MaxClients)
	}
	complain(!(c.Seconds > 0 && c.Seconds <= 3600), "Seconds: %v given, above 0 to 3600 allowed", c.Seconds)
	complain(!(c.ReadShare <= 1), "ReadShare: %v given, at most 1 allowed", c.ReadShare)
	complain(c.WorkingSet < 0, "WorkingSet: %d given, 0 or more allowed", c.WorkingSet)
	return errors.Join(errs...)
}

// Run measures everything, cell by cell, and hands each Row to emit when it is
// complete. A cache that answers with errors does not end it; the Rows tell.
func Run(ctx context.Context, cfg Config, emit func(Row)) error {
	if err := cfg.check(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if cfg.WorkingSet == 0 {
		cfg.WorkingSet = 256 << 20
	}
	ops := []Op{Set, Get}
	if cfg.ReadShare >= 0 {
		ops = []Op{Mix}
	}
	total := len(cfg.Sizes) * len(cfg.Clients) * len(ops) * rounds * len(cfg.Targets)
	done := 0
	for _, size := range cfg.Sizes {
		value := valueOf(int(size))
		for _, clients := range cfg.Clients {
			cell := newCell(cfg, value, clients)
			for _, op := range ops {
				runs := make([]measure, len(cfg.Targets))
				for round := range rounds {
					for i, target := range cfg.Targets {
						if cfg.Progress != nil {
							cfg.Progress(done, total, fmt.Sprintf("%s %s, %d B, %d clients", target.Name, op, size, clients))
						}
						m, err := cell.run(ctx, i, op, round)
						if err != nil {
							return fmt.Errorf("bench: %s: %w", target.Name, err)
						}
						runs[i].add(&m)
						done++
					}
				}
				for i := range runs {
					emit(runs[i].row(cfg.Targets[i].Name, op, size, clients))
				}
			}
			if err := cell.clear(ctx); err != nil {
				return fmt.Errorf("bench: %w", err)
			}
		}
	}
	return nil
}

// measure is what one target did in one operation of one cell.
type measure struct {
	ops, bytes uint64
	errors     uint64
	firstErr   error
	took       time.Duration
	times      latency.Histogram

	clientCPU, proxyCPU, nodesCPU time.Duration
	clientMemory                  int64 // most resident bytes seen
	proxyMemory, nodesMemory      int64
	noUsage                       bool
}

func (m *measure) add(o *measure) {
	m.ops += o.ops
	m.bytes += o.bytes
	m.errors += o.errors
	if m.firstErr == nil {
		m.firstErr = o.firstErr
	}
	m.took += o.took
	m.times.Merge(&o.times)
	m.clientCPU += o.clientCPU
	m.proxyCPU += o.proxyCPU
	m.nodesCPU += o.nodesCPU
	m.clientMemory = max(m.clientMemory, o.clientMemory)
	m.proxyMemory = max(m.proxyMemory, o.proxyMemory)
	m.nodesMemory = max(m.nodesMemory, o.nodesMemory)
	m.noUsage = m.noUsage || o.noUsage
}
