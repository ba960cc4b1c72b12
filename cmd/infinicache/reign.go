package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/infinicache/infinicache/internal/door/redis"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/lambda"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/tlslink"
)

// reign is one proxy's over its pool, with the doors to it.
type reign struct {
	client, redis net.Listener
	links         *cuttable         // where instances dial; nil if the proxy dials them
	identity      *tlslink.Identity // of links that are TLS; nil if they are not

	price     pricing.Tariff
	driver    driver
	proxy     *proxy.Proxy
	redisDoor *redis.Door
}

// found makes the proxy and its doors at these listeners.
func (s *system) found(client, redisAt, links net.Listener) (_ *reign, err error) {
	c := s.cfg.proxy
	r := &reign{client: client, redis: redisAt, price: c.price}
	if links != nil {
		r.links = newCuttable(links)
	}
	secret, err := secretOf(c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	sealing, err := encryptionKeyOf(c.sealing)
	if err != nil {
		return nil, err
	}
	epoch, err := nextEpoch(c.keyFile, s.began)
	if err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	if c.secured() {
		if r.identity, err = tlslink.Derive(secret); err != nil {
			return nil, err
		}
	}
	if r.driver, err = s.connect(); err != nil {
		return nil, err
	}
	r.proxy, err = proxy.New(proxy.Config{
		Pool: pool.Config{
			Driver: r.driver, Nodes: s.cfg.nodes, Epoch: epoch, Key: secret,
			Address: c.reachable(links), Identity: r.identity, Capacity: store.CapacityOf(s.cfg.memory),
			Linger: c.linger, WarmEvery: neverFor0(c.warmEvery), Hold: c.hold, Limits: c.limits, Seed: s.cfg.seed, Logger: s.log.With("part", "pool"),
		},
		Shape: c.shape, BackupEvery: neverFor0(c.backupEvery), JournalDir: c.journal, JournalEvery: c.every, Adopt: c.adopt, EncryptionKey: sealing,
		Seed: s.cfg.seed, Registerer: s.registry, Logger: s.log.With("part", "proxy"),
	})
	if err != nil {
		return nil, err
	}
	r.redisDoor, err = redis.New(redis.Config{
		Cache: r.proxy, Pressed: r.proxy.Pressed, Stats: r.redisStats, Log: s.log.With("part", "redis"), Metrics: s.registry,
	})
	return r, err
}

// connect makes the driver of the platform.
func (s *system) connect() (driver, error) {
	c := s.cfg.proxy
	price := platform.Price(c.price.Plan(s.cfg.memory))
	if c.deployed != nil {
		return c.deployed.connect(context.Background(), price, c.platform)
	}
	invoke := c.platform
	if s.platform != nil {
		invoke = s.platform.URL()
	}
	d, err := lambda.New(lambda.Config{
		AWS: lambda.Local(invoke), Prefix: s.cfg.prefix, Name: "embedded",
		Memory: s.cfg.memory, Timeout: sessionLimit, Notice: s.cfg.notice, Price: price,
	})
	if err != nil {
		return nil, err
	}
	return billing{d}, nil
}

// linkDoor is where instances connect; nil if the proxy dials them.
func (r *reign) linkDoor() net.Listener {
	switch {
	case r.links == nil:
		return nil
	case r.identity != nil:
		return tlslink.Listener(r.links, r.identity)
	}
	return r.links
}

// neverFor0 is an interval as proxies take it, for which 0 is a default.
func neverFor0(every time.Duration) time.Duration {
	if every == 0 {
		return -1
	}
	return every
}
