package infinicache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/stripe"
)

// ReadPolicy says how many chunks of a stripe a read asks for.
type ReadPolicy int

const (
	// Hedged asks for d chunks, and for parity chunks when one of those fails or
	// is later than chunks lately were. It is the default: each chunk that is
	// asked for is a request to a function.
	Hedged ReadPolicy = iota
	// All asks for all d+p chunks at once and takes the first d.
	All
)

// Config says which cache a Client uses and how. Only Proxies is needed.
type Config struct {
	// Proxies are the addresses, host:port, of all proxies of the cache. Every
	// client must have the same ones, in any order, because keys are spread over
	// them by their names.
	Proxies []string
	// Dial connects to a proxy; nil: TCP. Of TCP connections, bare or below TLS, the
	// keep-alive is set, so that a proxy whose machine is gone is noticed in some 5 s.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// ReadPolicy is what Gets do that say nothing else.
	ReadPolicy ReadPolicy
	// DialTimeout bounds one attempt to connect. 0: 3 s.
	DialTimeout time.Duration
	// StallTimeout is how long a proxy that owes an answer, and whose machine is
	// there, may be silent before its link is given up. 0: 30 s.
	StallTimeout time.Duration
	// StripeTimeout bounds the wait for the chunks of one stripe, time to wake
	// functions included. 0: 10 s.
	StripeTimeout time.Duration
	// Retries is how often a call is tried again after its link broke or the
	// proxy was too busy. 0: 3; negative: never.
	Retries int
	// Memory is the bytes that stripes under way may take, all calls together; a
	// call that finds too little waits. A stripe has up to 16 MiB; an open
	// Object holds two at most, a streaming Put two and their parity. Whoever
	// keeps many large objects open at once needs more. Reads into the caller's
	// memory, and PutBytes but for its parity, do not count. 0: 256 MiB.
	Memory int64
	// EncryptionKey seals what is put and opens what is read: 32 random bytes that
	// all clients of the cache share, and its proxies where others than this library
	// read or write. Functions then hold ciphertext, and cannot forge any. nil: puts
	// store what they are given. Objects that are not encrypted are read all the
	// same, so that a cache may have both. The stripes of encrypted objects count in
	// Memory even when they are read into the caller's, or put from it.
	EncryptionKey []byte
	// Logger is told of links that come and go; nil: nobody is.
	Logger *slog.Logger
}

// complete returns a copy with defaults filled in, or everything that is wrong.
func (cfg Config) complete() (Config, error) {
	var complaints []error
	complain := func(format string, args ...any) {
		complaints = append(complaints, fmt.Errorf("config: "+format, args...))
	}
	cfg.Proxies = slices.Clone(cfg.Proxies)
	if len(cfg.Proxies) == 0 {
		complain("Proxies is empty, want at least one host:port")
	}
	for i, addr := range cfg.Proxies {
		switch host, port, err := net.SplitHostPort(addr); {
		case cfg.Dial != nil && addr != "": // what an address is, is Dial's affair
		case err != nil:
			complain("Proxies[%d] is %q, want host:port", i, addr)
		case host == "" || port == "" || port == "0":
			complain("Proxies[%d] is %q, want a host and a port that is not 0", i, addr)
		}
	}
	if cfg.ReadPolicy != Hedged && cfg.ReadPolicy != All {
		complain("ReadPolicy is %d, want Hedged or All", cfg.ReadPolicy)
	}
	fill := func(name string, d *time.Duration, zero time.Duration) {
		if *d < 0 {
			complain("%s is %v, want more than 0, or 0 for %v", name, *d, zero)
		}
		if *d == 0 {
			*d = zero
		}
	}
	fill("DialTimeout", &cfg.DialTimeout, 3*time.Second)
	fill("StallTimeout", &cfg.StallTimeout, 30*time.Second)
	fill("StripeTimeout", &cfg.StripeTimeout, stripe.DefaultStripeTimeout)
	switch {
	case cfg.Retries == 0:
		cfg.Retries = 3
	case cfg.Retries < 0:
		cfg.Retries = 0
	}
	if cfg.EncryptionKey != nil && len(cfg.EncryptionKey) != seal.KeySize {
		complain("EncryptionKey has %d bytes, want %d, or nil for none", len(cfg.EncryptionKey), seal.KeySize)
	}
	if cfg.Memory < 0 {
		complain("Memory is %d bytes, want more than 0, or 0 for 256 MiB", cfg.Memory)
	}
	if cfg.Memory == 0 {
		cfg.Memory = 256 << 20
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, errors.Join(complaints...)
}
