package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/bench"
)

// rival is the Redis server to compare with; nil if there is none.
func rival(ctx context.Context, compare string, stderr io.Writer) (*bench.Redis, func(), error) {
	nothing := func() {}
	switch compare {
	case "off":
		return nil, nothing, nil
	case "auto":
		server, err := bench.StartRedis(ctx)
		if errors.Is(err, bench.ErrNoRedis) {
			fmt.Fprintln(stderr, "infinicache: redis-server is not installed: nothing to compare with")
			return nil, nothing, nil
		}
		if err != nil {
			return nil, nothing, err
		}
		r := bench.NewRedis(server.Address)
		return r, func() { r.Close(); server.Stop() }, nil
	}
	r := bench.NewRedis(compare)
	if err := r.Ping(ctx); err != nil {
		r.Close()
		return nil, nothing, fmt.Errorf("redis at %s: %w", compare, err)
	}
	return r, func() { r.Close() }, nil
}

// ours is the cache that client speaks to.
func ours(ctx context.Context, client *infinicache.Client, door *admin.Client, adminAddr string, stderr io.Writer) bench.Target {
	t := bench.Target{
		Name:   "infinicache",
		Client: func(size int) bench.Client { return &benchClient{client: client, size: size} },
	}
	p := processes{door: door}
	err := p.onThisMachine(adminAddr)
	if err == nil {
		_, err = p.usage(ctx)
	}
	if err != nil {
		fmt.Fprintf(stderr, "infinicache: what proxy and nodes spend is not known: %v\n", err)
		return t
	}
	t.Usage = p.usage
	return t
}

// benchClient reads into memory of its own.
type benchClient struct {
	client *infinicache.Client
	size   int
	buffer []byte
}

func (b *benchClient) Set(ctx context.Context, key string, value []byte) error {
	_, err := b.client.PutBytes(ctx, key, value)
	return err
}

func (b *benchClient) Get(ctx context.Context, key string) ([]byte, error) {
	if b.buffer == nil {
		b.buffer = make([]byte, b.size)
	}
	n, err := b.client.GetInto(ctx, key, b.buffer)
	return b.buffer[:n], err
}

func (b *benchClient) Delete(ctx context.Context, key string) error {
	_, err := b.client.Delete(ctx, key)
	return err
}

// processes are those of a cache on this machine.
type processes struct {
	door *admin.Client

	mu    sync.Mutex
	asked time.Time
	proxy int // process ids
	nodes []int
}

// listFor is how long a list of processes is believed, because to make it costs
// the proxy time. What an instance spends before it is listed is missed, so the
// time is short beside the shortest measurement.
const listFor = 100 * time.Millisecond

func (p *processes) onThisMachine(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s may be another machine", host)
	}
	return nil
}

// usage adds up what the processes have spent. Those of instances that are gone
// are in what the proxy's process has waited for.
func (p *processes) usage(ctx context.Context) (bench.Usage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) > listFor {
		s, err := p.door.Status(ctx)
		if err != nil {
			return bench.Usage{}, err
		}
		p.asked, p.proxy, p.nodes = time.Now(), s.PID, nil
		for _, n := range s.Nodes {
			for _, i := range n.Instances {
				if i.PID != 0 {
					p.nodes = append(p.nodes, i.PID)
				}
			}
		}
	}
	var u bench.Usage
	var err error
	if u.ProxyCPU, u.NodesCPU, u.ProxyMemory, err = bench.Process(p.proxy); err != nil {
		return u, err
	}
	for _, pid := range p.nodes {
		own, _, memory, err := bench.Process(pid)
		if err != nil {
			continue // gone since it was listed
		}
		u.NodesCPU += own
		u.NodesMemory += memory
	}
	return u, nil
}
