package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/replay"
	"github.com/infinicache/infinicache/internal/trace"
)

// speed is max, which is 0, or a factor.
func speed() kind[float64] {
	k := real(0, math.Inf(1), true)
	factor, number := k.parse, k.format
	k.name, k.allowed = "max|FACTOR", "max, or a number above 0"
	k.parse = func(s string) (float64, bool) {
		if s == "max" {
			return 0, true
		}
		return factor(s)
	}
	k.format = func(x float64) string {
		if x == 0 {
			return "max"
		}
		return number(x)
	}
	return k
}

// replayReport is what replay --json prints.
type replayReport struct {
	Trace string  `json:"trace"`
	Scale float64 `json:"scale"`
	replay.Report
	// Bill and misses without a cause, of the whole cache during the replay; null
	// if its admin door could not be asked.
	Bill              *admin.Bill `json:"bill"`
	UnexplainedMisses *uint64     `json:"unexplained_misses"`
}

func newReplay(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay TRACE.csv[.gz]",
		Short: "Play a request trace as its users would",
		Long: `Play a trace of requests against a cache: GET each object, and on a miss PUT what
the origin would have given. Contents are made from an object's name, so every
byte that comes back is verified; wrong_bytes must be 0.

A trace is text with the header "seconds,object,bytes,status". Sizes are
multiplied by --scale, which makes a day of a registry fit a laptop.`,
		Example: `  infinicache replay trace.csv.gz --up --requests 2000
  infinicache replay trace.csv.gz --up --reclaim-every 2s --min-hits 0.5
  infinicache replay trace.csv.gz --scale 1 --speed 60 --clients 64 --json`,
		Args: between(1, 1, "TRACE"),
	}
	f := flagsOf(cmd)
	cfg := replay.Config{Scale: 0.01, Clients: 8}
	var minHits float64
	var random uint64
	proxies, adminAddr := proxyFlag(cmd), adminFlag(cmd)
	add(f, &cfg.Scale, "scale", real(0, 1000, true), "factor for the objects' sizes")
	add(f, &cfg.Requests, "requests", number(0, math.MaxInt), "most requests to play; 0 for all")
	add(f, &cfg.Speed, "speed", speed(), "how many times faster than it was recorded, or as fast as it goes")
	add(f, &cfg.Clients, "clients", number(1, replay.MaxClients), "most requests at a time")
	add(f, &cfg.ReclaimEvery, "reclaim-every", duration(10*time.Millisecond, 24*time.Hour), "how often to take a random node's instances away (default: never)")
	add(f, &random, "seed", seed(), "which nodes those are")
	add(f, &minHits, "min-hits", real(0, 1, false), "fail if the hit ratio is below this")
	verify := cmd.Flags().Bool("verify", true, "verify every byte that comes back")
	own := childFlagsOf(f)
	asJSON, progress := jsonFlag(cmd), progressFlag(cmd)

	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		ctx := cmd.Context()
		requests, err := trace.Open(args[0])
		if err != nil {
			return err
		}
		defer requests.Close()
		stop, err := own.start(ctx, con.err, proxies, adminAddr)
		if err != nil {
			return err
		}
		defer func() { err = finish(err, stop()) }()
		client, err := dial(cmd, *proxies)
		if err != nil {
			return err
		}
		defer client.Close()
		door := admin.NewClient(*adminAddr)
		defer door.Close()

		cache := &replayCache{client: client}
		cfg.Trace, cfg.Cache, cfg.Unverified = requests, cache, !*verify
		before, statusErr := door.Status(ctx)
		if cfg.ReclaimEvery > 0 {
			if statusErr != nil {
				return fmt.Errorf("--reclaim-every: %w", statusErr)
			}
			cfg.Reclaim = reclaimRandom(door, len(before.Nodes), random)
		}
		line := newStatusLine(con.err, *progress)
		defer line.clear()
		cfg.Progress = func(r replay.Report) {
			line.show("%d requests, %s hits, %s read, %s stored, %d wrong bytes", r.Requests, percent(r.HitRatio), shortSize(r.Bytes), shortSize(r.StoredBytes), r.WrongBytes)
		}
		report := replayReport{Trace: args[0], Scale: cfg.Scale}
		report.Report, err = replay.Run(ctx, cfg)
		line.clear()
		if statusErr == nil {
			report.since(before, door)
		}
		if *asJSON {
			err = finish(err, printJSON(con.out, report))
		} else {
			err = finish(err, report.print(con.out))
		}
		return finish(err, errors.Join(report.judge(minHits), cache.judge()))
	}
	return cmd
}

// since fills in what the cache counted from before on.
func (r *replayReport) since(before admin.Status, door *admin.Client) {
	// Sessions are billed when they end, and the last ones linger. The context of
	// the command may have ended, and the report is wanted nevertheless.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	after, err := settled(ctx, door)
	if err != nil {
		return
	}
	r.Bill = &admin.Bill{
		Sessions: after.Bill.Sessions - before.Bill.Sessions,
		Seconds:  after.Bill.Seconds - before.Bill.Seconds,
		Dollars:  after.Bill.Dollars - before.Bill.Dollars,
		Tariff:   after.Bill.Tariff,
	}
	unexplained := after.Traffic.UnexplainedMisses - before.Traffic.UnexplainedMisses
	r.UnexplainedMisses = &unexplained
}

// settled is the status when no node is in session any more, or when ctx ends.
func settled(ctx context.Context, door *admin.Client) (admin.Status, error) {
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	s, err := door.Status(ctx)
	for err == nil && slices.ContainsFunc(s.Nodes, func(n admin.Node) bool { return n.State != "asleep" }) {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return s, nil
		}
		var next admin.Status
		if next, err = door.Status(ctx); err == nil {
			s = next
		} else if ctx.Err() != nil {
			return s, nil
		}
	}
	return s, err
}

// judge is the error of a replay that shows a defect, or too few hits.
func (r *replayReport) judge(minHits float64) error {
	var errs []error
	if r.WrongBytes > 0 {
		errs = append(errs, fmt.Errorf("%d wrong bytes: %s", r.WrongBytes, r.FirstWrong))
	}
	if n := r.Misses["unexplained"]; n > 0 {
		errs = append(errs, fmt.Errorf("%d misses without a cause", n))
	}
	if r.HitRatio < minHits {
		errs = append(errs, fmt.Errorf("hit ratio %.3f, at least %v wanted", r.HitRatio, minHits))
	}
	return errors.Join(errs...)
}

func (r *replayReport) print(w io.Writer) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("requests", "%d for %d objects in %s", r.Requests, r.Objects, shortTime(r.Seconds))
	row("hits", "%d (%s)", r.Hits, percent(r.HitRatio))
	var misses uint64
	var causes []string
	for _, cause := range slices.Sorted(maps.Keys(r.Misses)) {
		misses += r.Misses[cause]
		causes = append(causes, fmt.Sprintf("%s %d", cause, r.Misses[cause]))
	}
	row("misses", "%d: %s", misses, strings.Join(causes, ", "))
	row("losses", "%d", r.Losses)
	row("errors", "%d reads, %d puts", r.Errors, r.FailedPuts)
	if r.FirstError != "" {
		row("first error", "%s", r.FirstError)
	}
	row("bytes", "%s read, %s stored", shortSize(r.Bytes), shortSize(r.StoredBytes))
	if r.Verified {
		row("wrong_bytes", "%d", r.WrongBytes)
	} else {
		row("wrong_bytes", "not looked for")
	}
	row("reclaimed", "%d instances", r.Reclaimed)
	for _, l := range []struct {
		name string
		replay.Latency
	}{{"hit latency", r.HitLatency}, {"miss latency", r.MissLatency}, {"put latency", r.PutLatency}} {
		row(l.name, "p50 %s, p90 %s, p99 %s, max %s", shortTime(l.P50), shortTime(l.P90), shortTime(l.P99), shortTime(l.Max))
	}
	if r.Bill != nil {
		row("billed time", "%s in %d sessions, $%.6f by the list price of %s", shortTime(r.Bill.Seconds), r.Bill.Sessions, r.Bill.Dollars, r.Bill.Tariff)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// replayCache is the cache that a client speaks to. It is used through a pointer
// and safe for concurrent use.
type replayCache struct {
	client *infinicache.Client

	mu      sync.Mutex
	refused int   // PUTs, for a reason other than that there is no room
	first   error // the reason of the first
}

func (c *replayCache) Get(ctx context.Context, key string, sink func(int64) io.Writer) error {
	obj, err := c.client.Get(ctx, key)
	if err != nil {
		return err
	}
	defer obj.Close()
	_, err = obj.WriteTo(sink(obj.Info().Size))
	return err
}

func (c *replayCache) Put(ctx context.Context, key string, size int64, body io.Reader) error {
	_, err := c.client.Put(ctx, key, body, size)
	c.count(ctx, err)
	return err
}

// count notes a PUT that should not have failed: a cache may be too small for an
// object, and that is all.
func (c *replayCache) count(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil || errors.Is(err, infinicache.ErrFull) || errors.Is(err, infinicache.ErrTooLarge) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused++; c.refused == 1 {
		c.first = err
	}
}

// judge is the error of a replay in which PUTs failed that should not have.
func (c *replayCache) judge() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == 0 {
		return nil
	}
	return fmt.Errorf("%d PUTs refused, the first: %w", c.refused, c.first)
}

// reclaimRandom takes one node's instances away each time it is called.
func reclaimRandom(door *admin.Client, nodes int, seed uint64) func(context.Context) (int, error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	return func(ctx context.Context) (int, error) {
		taken, err := door.Reclaim(ctx, []int{rng.IntN(nodes)}, false)
		n := 0
		for _, t := range taken {
			n += t.Instances
		}
		return n, err
	}
}
