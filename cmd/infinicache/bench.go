package main

import (
	"context"
	"errors"
	"fmt"
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
		end, err := own.start(ctx, con.err, proxies, adminAddr)
		if err != nil {
			return err
		}
		defer func() { err = finish(err, end()) }()
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
