package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/door/redis"
	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/lambda"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// sessionLimit is the embedded platform's timeout of a function.
	sessionLimit = 15 * time.Minute
	// functionPrefix begins the names of functions there.
	functionPrefix = "node-"
)

// system is a whole cache in one process.
type system struct {
	cfg     upConfig
	log     *slog.Logger
	began   time.Time
	epoch   uint64
	ending  atomic.Bool
	running atomic.Bool

	client, redis, admin net.Listener // doors
	links                *cuttable    // where instances dial

	platform  *emulator.Emulator
	driver    billing
	proxy     *proxy.Proxy
	redisDoor *redis.Door
	adminDoor *admin.Server
}

// assemble opens the listeners and makes every part. It starts nothing, and
// leaves nothing open if it fails.
func assemble(c upConfig, log *slog.Logger) (_ *system, err error) {
	s := &system{cfg: c, log: log, began: time.Now(), epoch: epochAt(time.Now())}
	if err := s.listen(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()

	rules := emulator.Rules{IdleAge: c.reclaimIdle, TotalAge: c.reclaimAge}
	if c.reclaimRate > 0 {
		rules.MeanLife = time.Duration(float64(time.Hour) / c.reclaimRate)
	}
	s.platform, err = emulator.New(emulator.Config{
		Nodes: c.nodes, Prefix: functionPrefix, Binary: c.nodeBinary,
		Memory: c.memory, Timeout: sessionLimit,
		CutLinks: c.cutLinks, Cut: func(f emulator.Frozen) { s.links.cut(f.Links) },
		Reclaim: rules, Seed: c.seed, Logger: log.With("part", "platform"),
	})
	if err != nil {
		return nil, err
	}
	s.driver.Driver, err = lambda.New(lambda.Config{
		AWS: lambda.Local(s.platform.URL()), Prefix: functionPrefix, Name: "embedded",
		Memory: c.memory, Timeout: sessionLimit, Price: platform.Price(c.price.Plan(c.memory)),
	})
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.proxy, err = proxy.New(proxy.Config{
		Pool: pool.Config{
			Driver: s.driver, Nodes: c.nodes, Epoch: s.epoch, Key: key,
			Address: s.links.Addr().String(), Capacity: store.CapacityOf(c.memory),
			Linger: c.linger, Seed: c.seed, Logger: log.With("part", "pool"),
		},
		Shape: c.shape, Seed: c.seed, Registerer: registry, Logger: log.With("part", "proxy"),
	})
	if err != nil {
		return nil, err
	}
	s.redisDoor, err = redis.New(redis.Config{
		Cache: s.proxy, Pressed: s.proxy.Pressed, Stats: s.redisStats, Log: log.With("part", "redis"), Metrics: registry,
	})
	if err != nil {
		return nil, err
	}
	s.adminDoor = admin.New(admin.Config{
		Status: s.status, Ready: s.ready, Reclaim: s.reclaim,
		Gatherer: registry, Logger: log.With("part", "admin"),
	})
	return s, nil
}

// epochAt makes an epoch of the clock: the tens of seconds since the start of
// 2026, which fit the 28 bits that versions leave for it until 2111. Two runs
// within ten seconds share one, which is of no consequence here: no instance
// outlives its proxy.
func epochAt(now time.Time) uint64 {
	began := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	return uint64(max(now.Sub(began), 0)/(10*time.Second)) + 1
}

// listen opens every listener and complains about all that fail.
func (s *system) listen() error {
	var errs []error
	open := func(flag, address string) net.Listener {
		l, err := net.Listen("tcp", address)
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			errs = append(errs, fmt.Errorf("--%s %s: the port is in use; is another infinicache running? Port 0 picks a free one", flag, address))
		case err != nil:
			errs = append(errs, fmt.Errorf("--%s %s: %w", flag, address, err))
		}
		return l
	}
	s.client = open("client", s.cfg.client)
	s.redis = open("redis", s.cfg.redis)
	s.admin = open("admin", s.cfg.admin)
	links, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		errs = append(errs, fmt.Errorf("listen for nodes: %w", err))
	} else {
		s.links = newCuttable(links)
	}
	if err := errors.Join(errs...); err != nil {
		s.closeListeners()
		return err
	}
	return nil
}

func (s *system) closeListeners() {
	for _, l := range []net.Listener{s.client, s.redis, s.admin} {
		if l != nil {
			l.Close()
		}
	}
	if s.links != nil {
		s.links.Close()
	}
}

// run starts the parts from the ground up, so that each finds what it needs, and
// ends them the other way round, so that each can finish what it has begun.
func (s *system) run(ctx context.Context, ready func()) error {
	stop := context.AfterFunc(ctx, func() {
		s.ending.Store(true)
		s.log.Info("shutting down")
	})
	defer stop()
	defer s.driver.Close()
	return runParts(ctx, []part{
		{"platform", s.platform.Run},
		{"admin door", func(ctx context.Context) error { return s.adminDoor.Serve(ctx, s.admin) }},
		{"proxy", s.proxy.Run},
		{"node links", func(ctx context.Context) error { return s.proxy.ServeLinks(ctx, s.links, wire.RoleNode) }},
		{"client door", func(ctx context.Context) error { return s.proxy.ServeLinks(ctx, s.client, wire.RoleClient) }},
		{"redis door", func(ctx context.Context) error { return s.redisDoor.Serve(ctx, s.redis) }},
	}, func() {
		s.log.Info("serving", "nodes", s.cfg.nodes, "memory", s.cfg.memory, "epoch", s.epoch, "seed", s.cfg.seed,
			"client", s.client.Addr(), "redis", s.redis.Addr(), "admin", s.admin.Addr())
		s.warnOfStrangers()
		s.running.Store(true)
		ready()
	})
}

// warnOfStrangers tells of doors that other machines can reach: none has a
// password.
func (s *system) warnOfStrangers() {
	for door, l := range map[string]net.Listener{"client": s.client, "redis": s.redis, "admin": s.admin} {
		if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() {
			s.log.Warn("a door without a password is open to other machines", "door", door, "address", at)
		}
	}
}

func (s *system) ready() error {
	switch {
	case s.ending.Load():
		return errors.New("shutting down")
	case !s.running.Load():
		return errors.New("starting")
	}
	return nil
}

func (s *system) reclaim(_ context.Context, node int) (int, error) {
	n, err := s.platform.Reclaim(node)
	if errors.Is(err, emulator.ErrNoNode) {
		err = fmt.Errorf("%w: %d given, 0 to %d allowed", admin.ErrNoNode, node, s.cfg.nodes-1)
	}
	return n, err
}
