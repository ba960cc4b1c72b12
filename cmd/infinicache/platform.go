package main

import (
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/emulator"
)

const (
	defaultInvoke        = "127.0.0.1:9377"
	defaultPlatformAdmin = "127.0.0.1:9379"

	// changeTime is how long a created or updated function is not ready. The
	// real service takes seconds; a deployment has to wait all the same.
	changeTime = 500 * time.Millisecond
)

// platformConfig says how the embedded platform runs functions.
type platformConfig struct {
	listen     string // address of the Lambda API
	nodeBinary string
	reuse      string

	reclaimIdle, reclaimAge time.Duration
	reclaimRate             float64 // of an instance, per hour
	cutLinks                float64
}

func defaultPlatform() platformConfig {
	return platformConfig{listen: "127.0.0.1:0", reuse: "recent"}
}

// reclaims tells whether the platform takes instances away by itself.
func (c *platformConfig) reclaims() bool {
	return c.reclaimIdle > 0 || c.reclaimAge > 0 || c.reclaimRate > 0
}

func (c *platformConfig) declare(f *flags) {
	f.cmd.Flags().StringVar(&c.nodeBinary, "node-binary", "", "the function's `FILE` (default: infinicache-node beside this program)")
	add(f, &c.reclaimIdle, "reclaim-idle", duration(time.Second, 24*time.Hour), "take instances that were idle so long (default: never)")
	add(f, &c.reclaimAge, "reclaim-age", duration(time.Second, 24*time.Hour), "take instances that are so old (default: never)")
	add(f, &c.reclaimRate, "reclaim-rate", real(0, 3600, false), "take each instance at random, so many times an hour on average")
	add(f, &c.reuse, "reuse", choice("recent", "random"), "which idle instance of several a session gets")
}

func newPlatform(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "platform",
		Short: "Run the embedded function platform alone",
		Long: `Run the embedded function platform in the foreground, without a cache: functions
are processes of this machine, frozen while nobody needs them, and live on when
a proxy ends. It speaks the AWS Lambda API at --listen: invocations, and what a
deployment needs to create, change and delete functions, at the pace of the real
service. With --nodes 0 it is empty until functions are deployed to it. When it
serves it prints one line on standard output,

    ready invoke=URL admin=ADDR

and logs to standard error. Ctrl-C ends it with every process that it started.

Its admin door takes the orders of "infinicache reclaim" and of "infinicache
pool resize", and lists the instances for "infinicache nodes". A function that
was deployed through the API is a node's if its name is --prefix and a number.`,
		Example: `  infinicache platform --nodes 20
  infinicache proxy --nodes 20 --key-file pool.key              # in another terminal
  infinicache reclaim 3 11 --admin ` + defaultPlatformAdmin,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	c := systemConfig{functions: defaultFunctions(), servingConfig: defaultServing()}
	p := defaultPlatform()
	p.listen, c.admin = defaultInvoke, defaultPlatformAdmin
	c.functions.declare(f, 0)
	c.declarePrefix(f)
	add(f, &p.listen, "listen", address(), "where the Lambda API is served")
	p.declare(f)
	c.servingConfig.declare(f)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if p.nodeBinary, err = nodeProgram(cmd.Context(), p.nodeBinary); err != nil {
			return err
		}
		c.platform = &p
		return serve(cmd.Context(), c, con)
	}
	return cmd
}

// embed makes the embedded platform, whose Lambda API is served at invoke.
func (s *system) embed(invoke net.Listener) (*emulator.Emulator, error) {
	c := s.cfg.platform
	rules := emulator.Rules{IdleAge: c.reclaimIdle, TotalAge: c.reclaimAge}
	if c.reclaimRate > 0 {
		rules.MeanLife = time.Duration(float64(time.Hour) / c.reclaimRate)
	}
	reuse := emulator.MostRecent
	if c.reuse == "random" {
		reuse = emulator.Random
	}
	return emulator.New(emulator.Config{
		Nodes: s.cfg.nodes, Prefix: s.cfg.prefix, Binary: c.nodeBinary,
		Env: map[string]string{"INFINICACHE_NOTICE": s.cfg.notice.String()}, Memory: s.cfg.memory, Timeout: sessionLimit, Notice: s.cfg.notice,
		Reuse: reuse, CutLinks: c.cutLinks, Cut: func(f emulator.Frozen) { s.reign.links.cut(f.Links) },
		Control: emulator.Control{CreateTime: changeTime, UpdateTime: changeTime},
		Reclaim: rules, Seed: s.cfg.seed, Listener: invoke, Logger: s.log.With("part", "platform"),
	})
}
