package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/wire"
)

// systemConfig says what one process runs: the embedded platform, a proxy, or
// both. What is nil runs elsewhere or not at all.
type systemConfig struct {
	functions
	servingConfig
	platform *platformConfig
	proxy    *proxyConfig
}

// system is what one process runs.
type system struct {
	cfg      systemConfig
	log      *slog.Logger
	began    time.Time
	registry *prometheus.Registry

	ending   atomic.Bool
	running  atomic.Bool
	resizing atomic.Bool

	admin     net.Listener
	adminDoor *admin.Server
	invoke    net.Listener       // nil without platform
	platform  *emulator.Emulator // nil: elsewhere
	reign     *reign             // nil: no proxy here
}

// assemble opens the listeners and makes every part. It starts nothing, and
// leaves nothing open if it fails.
func assemble(c systemConfig, log *slog.Logger) (_ *system, err error) {
	s := &system{cfg: c, log: log, began: time.Now(), registry: prometheus.NewRegistry()}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	doors := &listeners{}
	defer func() {
		if err != nil {
			doors.close()
		}
	}()
	var client, redis, links net.Listener
	if c.proxy != nil {
		client = doors.open("client", c.proxy.client)
		redis = doors.open("redis", c.proxy.redis)
		if !c.proxy.direct() {
			links = doors.open("links", c.proxy.links)
		}
	}
	s.admin = doors.open("admin", c.admin)
	if c.platform != nil {
		s.invoke = doors.open("listen", c.platform.listen)
	}
	if err := doors.err(); err != nil {
		return nil, err
	}
	door := admin.Config{
		Status: s.status, Ready: s.ready, Resize: s.resize,
		Gatherer: s.registry, Logger: log.With("part", "admin"),
	}
	if c.platform != nil {
		if s.platform, err = s.embed(s.invoke); err != nil {
			return nil, err
		}
		door.Reclaim = s.reclaim
	}
	if c.proxy != nil {
		if s.reign, err = s.found(client, redis, links); err != nil {
			return nil, err
		}
		door.Drain, door.Admit = s.drain, s.admit
	}
	s.adminDoor = admin.New(door)
	return s, nil
}

// parts lists what runs, from the ground up: each finds what it needs when it
// starts, and can finish what it has begun when it ends.
func (s *system) parts() []part {
	var all []part
	add := func(name string, run func(context.Context) error) { all = append(all, part{name, run}) }
	if s.platform != nil {
		add("platform", s.platform.Run)
	}
	add("admin door", func(ctx context.Context) error { return s.adminDoor.Serve(ctx, s.admin) })
	if r := s.reign; r != nil {
		add("proxy", r.proxy.Run)
		if l := r.linkDoor(); l != nil {
			add("node links", func(ctx context.Context) error { return r.proxy.ServeLinks(ctx, l, wire.RoleNode) })
		}
		add("client door", func(ctx context.Context) error { return r.proxy.ServeLinks(ctx, r.client, wire.RoleClient) })
		add("redis door", func(ctx context.Context) error { return r.redisDoor.Serve(ctx, r.redis) })
	}
	return all
}

// run runs the parts until ctx ends or one of them does, and calls ready when
// all run.
func (s *system) run(ctx context.Context, ready func()) error {
	stop := context.AfterFunc(ctx, func() {
		s.ending.Store(true)
		s.log.Info("shutting down")
	})
	defer stop()
	if s.reign != nil {
		defer s.reign.driver.Close()
	}
	return runParts(ctx, s.parts(), func() {
		attrs := []any{"nodes", s.cfg.nodes, "memory", s.cfg.memory}
		if s.reign != nil {
			attrs = append(attrs, "epoch", s.reign.proxy.Epoch())
		}
		attrs = append(attrs, "seed", s.cfg.seed)
		for _, p := range s.places() {
			attrs = append(attrs, p.name, p.at)
		}
		s.log.Info("serving", attrs...)
		s.warnOfStrangers()
		s.running.Store(true)
		ready()
	})
}

// place is where something is served.
type place struct {
	name, at string
	door     net.Listener
}

// places lists what is served, and where.
func (s *system) places() []place {
	var all []place
	add := func(name string, l net.Listener) { all = append(all, place{name, l.Addr().String(), l}) }
	if r := s.reign; r != nil {
		add("client", r.client)
		add("redis", r.redis)
	} else {
		all = append(all, place{"invoke", s.platform.URL(), s.invoke})
	}
	add("admin", s.admin)
	if s.platform == nil && s.reign.links != nil {
		add("links", s.reign.links)
	}
	return all
}

// where writes the places for the line that says that all is ready.
func (s *system) where() string {
	var all []string
	for _, p := range s.places() {
		all = append(all, p.name+"="+p.at)
	}
	return strings.Join(all, " ")
}

// warnOfStrangers tells of doors that other machines can reach and that have no
// password, unless that is known. Node links have one.
func (s *system) warnOfStrangers() {
	if r := s.reign; r != nil && s.cfg.proxy.direct() && r.identity == nil {
		s.log.Warn("invocations are not signed without TLS: whoever reaches a node can take what it holds")
	}
	var open []any
	for _, p := range s.places() {
		at, ok := p.door.Addr().(*net.TCPAddr)
		if ok && !at.IP.IsLoopback() && p.name != "links" {
			open = append(open, p.name, at)
		}
	}
	if len(open) > 0 && !s.cfg.unauthenticated {
		s.log.Warn("doors without a password are open to other machines; say --"+unauthenticatedFlag+" if the network keeps strangers out", open...)
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

func (s *system) reclaim(_ context.Context, nodes []int, kill bool) ([]int, error) {
	counts, err := s.platform.Reclaim(nodes, kill)
	if errors.Is(err, emulator.ErrNoNode) {
		allowed := "none"
		if n := s.platform.Nodes(); n > 0 {
			allowed = fmt.Sprintf("those of 0 to %d that are deployed", n-1)
		}
		err = fmt.Errorf("%w: %v given, %s allowed", admin.ErrNoNode, nodes, allowed)
	}
	return counts, err
}
