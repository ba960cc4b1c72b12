package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/bench"
)

// apart stands for the read share of a bench that measures SET and GET apart.
const apart = -1

func readShare() kind[float64] {
	k := real(0, 1, false)
	share := k.parse
	k.allowed = "apart, or 0 to 1"
	k.parse = func(s string) (float64, bool) {
		if s == "apart" {
			return apart, true
		}
		return share(s)
	}
	number := k.format
	k.format = func(x float64) string {
		if x == apart {
			return "apart"
		}
		return number(x)
	}
	return k
}

func redisChoice() kind[string] {
	at := address()
	parse := at.parse
	at.name, at.allowed = "auto|off|ADDR", "auto, off or host:port"
	at.parse = func(s string) (string, bool) {
		if s == "auto" || s == "off" {
			return s, true
		}
		return parse(s)
	}
	return at
}

func newBench(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a cache, beside Redis",
		Long: `Measure throughput, latency, processor time and memory, in turn with a Redis server
that the same process drives with go-redis.

Values that are read arrive in memory: ours in a buffer that each client reuses,
those of go-redis in a slice that it makes. What comes back is checked at both
ends, and whole now and then. Processor time is that of client, proxy and nodes,
in seconds per GiB of values, and is known for processes of this machine if it
runs Linux; that of Redis is what it says of itself.`,
		Example: `  infinicache bench --up
  infinicache bench --up --sizes 10MiB --clients 1,8 --seconds 10 --json
  infinicache bench --proxy 10.0.0.5:6377 --compare-redis 10.0.0.6:6379`,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	cfg := bench.Config{
		Sizes:   []int64{1 << 10, 100 << 10, 1 << 20, 10 << 20, 100 << 20},
		Clients: []int{1, 8}, Seconds: 5, ReadShare: apart,
	}
	compare := "auto"
	proxies, adminAddr := proxyFlag(cmd), adminFlag(cmd)
	add(f, &cfg.Sizes, "sizes", list(size(1, 1<<30)), "sizes of values")
	add(f, &cfg.Clients, "clients", list(number(1, bench.MaxClients)), "numbers of clients at a time")
	add(f, &cfg.Seconds, "seconds", real(0, 3600, true), "time for each operation of each size and number of clients")
	add(f, &cfg.ReadShare, "read-share", readShare(), "share of GETs in a mix of operations, or SET and GET apart")
	add(f, &compare, "compare-redis", redisChoice(), "the server at ADDR, or one that is started if redis-server is installed")
	own := childFlagsOf(f)
	asJSON, progress := jsonFlag(cmd), progressFlag(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		ctx := cmd.Context()
		if *own.up {
			c, err := startUp(ctx, con.err, *own.extra)
			if err != nil {
				return err
			}
			defer func() { err = finish(err, c.stop()) }()
			*proxies, *adminAddr = []string{c.client}, c.admin
		}
		client, err := dial(cmd, *proxies)
		if err != nil {
			return err
		}
		defer client.Close()
		if _, err := client.Stat(ctx, "bench"); err != nil && !errors.Is(err, infinicache.ErrNotFound) {
			return err
		}
		door := admin.NewClient(*adminAddr)
		defer door.Close()
		cfg.Targets = []bench.Target{ours(ctx, client, door, *adminAddr, con.err)}
		redis, stop, err := rival(ctx, compare, con.err)
		if err != nil {
			return err
		}
		defer stop()
		if redis != nil {
			cfg.Targets = append(cfg.Targets, redis.Target())
		}
		return runBench(ctx, cfg, con, *asJSON, *progress)
	}
	return cmd
}

func runBench(ctx context.Context, cfg bench.Config, con console, asJSON, progress bool) error {
	line := newStatusLine(con.err, progress)
	defer line.clear()
	cfg.Progress = func(done, total int, what string) {
		left := time.Duration(float64(total-done) * cfg.Seconds / 2 * float64(time.Second))
		line.show("%d of %d, about %v left: %s", done, total, left.Round(time.Second), what)
	}
	var rows []bench.Row
	failed := 0
	table := benchTable{w: con.out}
	err := bench.Run(ctx, cfg, func(r bench.Row) {
		rows = append(rows, r)
		if r.Errors > 0 {
			failed++
		}
		if !asJSON {
			line.clear()
			table.add(r, len(cfg.Targets))
		}
	})
	line.clear()
	if asJSON {
		err = finish(err, printJSON(con.out, rows))
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d measurements had errors", failed, len(rows))
	}
	return err
}

// benchTable prints rows as they come, each cell's targets beside one another.
type benchTable struct {
	w     io.Writer
	began bool
	cell  []bench.Row
}

func (t *benchTable) add(r bench.Row, targets int) {
	if !t.began {
		t.began = true
		fmt.Fprintf(t.w, "%-4s %-8s %-3s %-12s %9s %6s %9s %9s | %7s %7s %7s %7s | %9s %9s %9s\n",
			"op", "size", "cl", "cache", "MiB/s", "ratio", "p50", "p99",
			"CPU/GiB", "client", "proxy", "nodes", "RSS clnt", "proxy", "nodes")
	}
	t.cell = append(t.cell, r)
	if len(t.cell) < targets {
		return
	}
	last := t.cell[len(t.cell)-1] // what the others are compared with
	for _, r := range t.cell {
		ratio := ""
		if targets > 1 && last.BytesPerSecond > 0 {
			ratio = fmt.Sprintf("%.2f", r.BytesPerSecond/last.BytesPerSecond)
		}
		cpu := func(x float64) string {
			if !r.CPU.Known && x == 0 {
				return "?"
			}
			return fmt.Sprintf("%.2f", x)
		}
		total := cpu(r.CPU.Total)
		if !r.CPU.Known {
			total = "?"
		}
		memory := func(n int64) string {
			if n == 0 {
				return "?"
			}
			return shortSize(n)
		}
		fmt.Fprintf(t.w, "%-4s %-8s %-3d %-12s %9.1f %6s %9s %9s | %7s %7s %7s %7s | %9s %9s %9s\n",
			r.Op, formatSize(r.Size), r.Clients, r.Target, r.BytesPerSecond/(1<<20), ratio, shortTime(r.P50), shortTime(r.P99),
			total, cpu(r.CPU.Client), cpu(r.CPU.Proxy), cpu(r.CPU.Nodes),
			memory(r.Memory.Client), memory(r.Memory.Proxy), memory(r.Memory.Nodes))
		if r.Errors > 0 {
			fmt.Fprintf(t.w, "     %d errors, the first: %s\n", r.Errors, r.FirstError)
		}
	}
	t.cell = t.cell[:0]
}

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
// the proxy time.
const listFor = 2 * time.Second

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

// percent writes a share.
func percent(x float64) string {
	if math.IsNaN(x) {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*x)
}
