package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says how a [Door] serves. Cache is the only field that has to be set.
type Config struct {
	Cache Cache

	// Password is what a client has to give with AUTH or HELLO, as user default.
	// Empty means that every client is welcome.
	Password string

	// MaxConns is how many connections are served at once; more are refused with
	// Redis's error. 0 means 10,000. Each costs about 40 KiB.
	MaxConns int

	// Idle is how long a connection may wait between two commands; 0 means for
	// ever. To be set where clients vanish behind a NAT that forgets.
	Idle time.Duration

	// Stall is how long a client may neither send the rest of a command nor take
	// the rest of a reply before its connection ends; 0 means 30 s.
	Stall time.Duration

	// Pressed tells whether others wait for what a value under way holds. A
	// client that then moves less than 256 KiB in 3 s loses its connection. Nil
	// means never.
	Pressed func() bool

	// Grace is how long running commands may still take when Serve is told to
	// end; 0 means 5 s.
	Grace time.Duration

	// ArgumentMemory bounds, over all connections, the bytes of arguments that
	// are held until their command is complete, not counting the first 16 KiB of
	// each connection. Beyond it commands are refused with an error. 0 means
	// 64 MiB. Values flow past and are not counted, except those of up to 1 MiB
	// that are followed by options.
	ArgumentMemory int64

	// Stats is asked when a client wants INFO or CONFIG GET maxmemory; nil means
	// that nothing is known.
	Stats func() Stats

	// Log gets the end of connections at Debug, and what hinders accepting at
	// Warn; nil discards.
	Log *slog.Logger

	// Metrics is where the door registers its metrics; nil means nowhere.
	Metrics prometheus.Registerer
}

// Stats is what the pool says of itself in INFO.
type Stats struct {
	Version  string // of this software
	Used     int64  // bytes that chunks occupy in the pool's nodes
	Capacity int64  // bytes that the pool may occupy
	Expiring int64  // keys with an expiry
	Expired  int64  // objects that expired, since the start
	Evicted  int64  // objects that were evicted, since the start
}

func (c Config) withDefaults() Config {
	if c.MaxConns == 0 {
		c.MaxConns = 10_000
	}
	if c.Stall == 0 {
		c.Stall = 30 * time.Second
	}
	if c.Pressed == nil {
		c.Pressed = func() bool { return false }
	}
	if c.Grace == 0 {
		c.Grace = 5 * time.Second
	}
	if c.ArgumentMemory == 0 {
		c.ArgumentMemory = 64 << 20
	}
	if c.Stats == nil {
		c.Stats = func() Stats { return Stats{} }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Cache == nil {
		errs = append(errs, errors.New("Cache is nil, want a cache"))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"MaxConns", int64(c.MaxConns)},
		{"Idle", int64(c.Idle)},
		{"Stall", int64(c.Stall)},
		{"Grace", int64(c.Grace)},
		{"ArgumentMemory", c.ArgumentMemory},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %d, want 0 (the default) or more", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}
