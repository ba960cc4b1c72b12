package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/pricing"
)

const (
	minNodeMemory = 128 << 20
	maxNodeMemory = 10240 << 20
)

// upConfig is the command line of up.
type upConfig struct {
	nodes      int
	memory     int64 // of an instance
	shape      object.Shape
	client     string // addresses to listen at
	redis      string
	admin      string
	linger     pricing.Policy
	price      pricing.Tariff
	nodeBinary string
	seed       uint64

	reclaimIdle, reclaimAge time.Duration
	reclaimRate             float64 // of an instance, per hour
	cutLinks                float64

	logLevel, logFormat string
}

func newUp(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a cache on this machine until Ctrl-C",
		Long: `Run a cache in the foreground: an embedded function platform whose functions are
processes of this machine, frozen while nobody needs them; the proxy that owns
them; and its doors. When it serves it prints one line on standard output,

    ready client=ADDR redis=ADDR admin=ADDR

and logs to standard error. Ctrl-C ends the doors, then the proxy, then the
platform with every process that it started; a second one ends it at once.

Each node holds what its memory leaves beside the program itself. The reclaim
flags have the platform take idle instances away as a real one does.

How long a node stays awake after its last request (--linger) is a time, or
follows from the price (--price) of the service that the embedded platform stands
for. "paper" returns shortly before the billing quantum ends and buys one more
when two or more requests came in it; it needs a quantum above 10 ms. "break-even"
stays as long as that costs what waking again would, and "break-even:0.01" counts
a second that a request waits as a cent.`,
		Example: `  infinicache up
  infinicache up --nodes 40 --memory 512MiB --shape 10+2
  infinicache up --price lambda-100ms --linger paper
  infinicache up --linger break-even:0.01
  infinicache up --client 127.0.0.1:0 --redis 127.0.0.1:0 --admin 127.0.0.1:0   # free ports
  redis-cli -p 6378 SET greeting hello`,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	c := upConfig{
		nodes: 14, memory: 256 << 20, linger: pricing.Fixed(500 * time.Millisecond), price: pricing.Tariffs()[0],
		client: defaultClient, redis: defaultRedis, admin: defaultAdmin,
		logLevel: "info", logFormat: "text", seed: uint64(time.Now().UnixNano()), cutLinks: 0.1,
	}
	add(f, &c.nodes, "nodes", number(1, pool.MaxNodes), "nodes of the pool")
	add(f, &c.memory, "memory", size(minNodeMemory, maxNodeMemory), "memory of each node, the program itself included")
	add(f, &c.shape, "shape", shape(), "data+parity chunks of every object, or auto for what suits each size")
	add(f, &c.client, "client", address(), "where the client library and this command's put and get connect")
	add(f, &c.redis, "redis", address(), "where Redis clients connect")
	add(f, &c.admin, "admin", address(), "where health, metrics, status and profiles are served")
	add(f, &c.linger, "linger", lingering(), "how long a node stays awake after its last request: a time, paper, break-even, or break-even:DOLLARS")
	add(f, &c.price, "price", tariff(), "whose prices count: "+tariff().allowed)
	cmd.Flags().StringVar(&c.nodeBinary, "node-binary", "", "the function's `FILE` (default: infinicache-node beside this program)")
	add(f, &c.reclaimIdle, "reclaim-idle", duration(time.Second, 24*time.Hour), "take instances that were idle so long (default: never)")
	add(f, &c.reclaimAge, "reclaim-age", duration(time.Second, 24*time.Hour), "take instances that are so old (default: never)")
	add(f, &c.reclaimRate, "reclaim-rate", real(0, 3600, false), "take each instance at random, so many times an hour on average")
	add(f, &c.cutLinks, "cut-links", real(0, 1, false), "share of freezes that cut an instance's connections")
	var fixedSeed uint64
	add(f, &fixedSeed, "seed", seed(), "make what is random repeatable; 0 for another one each time")
	add(f, &c.logLevel, "log-level", choice("debug", "info", "warn", "error"), "least important messages to log")
	add(f, &c.logFormat, "log-format", choice("text", "json"), "form of the log")
	untilEOF := cmd.Flags().Bool("until-eof", false, "end, too, when standard input ends")
	_ = cmd.Flags().MarkHidden("until-eof")

	cmd.PreRunE = func(*cobra.Command, []string) error {
		if _, err := c.linger.On(c.price.Plan(c.memory), c.memory); err != nil {
			f.complain("--linger: %v given with --price %s: %w", c.linger, c.price.Name, err)
		}
		return f.check()
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if fixedSeed != 0 {
			c.seed = fixedSeed
		}
		ctx := cmd.Context()
		if *untilEOF {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			go func() {
				io.Copy(io.Discard, con.in)
				cancel()
			}()
		}
		return up(ctx, c, con)
	}
	return cmd
}

// up runs a cache until ctx ends.
func up(ctx context.Context, c upConfig, con console) error {
	log := newLogger(con.err, c.logLevel, c.logFormat)
	if os.Getenv("GOGC") == "" {
		// Most of the heap is buffers that are reused: little garbage comes, and
		// waiting for as much of it as there is heap would double the memory.
		debug.SetGCPercent(40)
	}
	if c.nodeBinary == "" {
		own, err := os.Executable()
		if err != nil {
			return err
		}
		c.nodeBinary = filepath.Join(filepath.Dir(own), "infinicache-node")
	}
	if f, err := os.Stat(c.nodeBinary); err != nil || f.IsDir() {
		return fmt.Errorf("%s is missing or no program: build it with `make build`, or name it with --node-binary", c.nodeBinary)
	}
	s, err := assemble(c, log)
	if err != nil {
		return err
	}
	return s.run(ctx, func() {
		fmt.Fprintf(con.out, "ready client=%s redis=%s admin=%s\n",
			s.client.Addr(), s.redis.Addr(), s.admin.Addr())
	})
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	// The flag allows only names of levels.
	_ = l.UnmarshalText([]byte(level))
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
