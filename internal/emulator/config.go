package emulator

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Reuse says which idle instance an invocation gets when there are several.
// The real service does not promise either.
type Reuse uint8

const (
	// MostRecent takes the instance that ended a session last.
	MostRecent Reuse = iota
	// Random draws one, by Config.Seed.
	Random
)

// Config describes the functions and how unkindly the platform treats them.
type Config struct {
	// Nodes is how many functions are deployed at first, up to MaxNodes. They are
	// named Prefix followed by 0 to Nodes-1. With 0 the platform is empty until
	// somebody deploys to it.
	Nodes int
	// Prefix begins the name of every node's function; empty means "node-".
	Prefix string

	// Binary to Concurrency describe these functions; those that are created
	// through the API bring what they need.

	// Binary is the path of the executable that every instance runs. A relative
	// one starts from the directory that New is called in. It may be empty
	// without Nodes.
	Binary string
	// Env is added to the clean environment of instances, as a function's own
	// environment variables are: at most 4 KiB in all.
	Env map[string]string

	// Memory is an instance's limit in bytes, from 32 MiB; zero means 256 MiB.
	// An instance whose resident memory is seen above it is killed.
	Memory int64
	// Timeout is the longest session; zero means 15 minutes, which is also the
	// most.
	Timeout time.Duration
	// Concurrency is how many instances of one function may be in session at
	// once; zero means no limit.
	Concurrency int

	// InitTimeout is how long a fresh instance may take until it asks for its
	// first event; zero means 10 s. An instance that takes longer is started
	// again within the session.
	InitTimeout time.Duration

	// Rate is how many invocations per second one function takes, with a burst
	// of one second's worth; zero means no limit, but for created functions with
	// reserved concurrency: 10 for each session of it.
	Rate float64

	Reuse Reuse
	// NoFreeze leaves idle instances running, to see what freezing changes.
	NoFreeze bool
	// Gap is how long an instance runs on, neither free nor frozen, after it
	// asked for the next event. With a Gap the caller has its answer before
	// the instance can be reused, as on the real service; at zero the answer
	// is held back until the instance is frozen.
	Gap time.Duration

	// CutLinks is the share, 0 to 1, of freezes after which the frozen
	// instance's links are cut; it needs Cut. Which ones is drawn by Seed, node
	// and count, so that it does not depend on timing.
	CutLinks float64
	// Cut closes the far ends of the links of a frozen instance: a process
	// that is merely stopped still has a kernel that acknowledges for it, while
	// a frozen guest of the real service is silent and is given up by its peer.
	// It is called with the instance seen frozen, before the caller of the
	// session has the answer (unless there is a Gap), and must not block.
	Cut func(Frozen)

	Reclaim Rules
	// Notice is what an instance that is taken has between SIGTERM and SIGKILL,
	// if its runtime registered an extension; others are killed without a word.
	// Zero means DefaultNotice; at most MaxNotice.
	Notice time.Duration

	// Control is how the management API behaves.
	Control Control

	// Seed drives everything random here.
	Seed uint64

	// Listener serves the APIs; the emulator closes it. Nil means a free
	// port of 127.0.0.1.
	Listener net.Listener

	// Logger takes what the platform does (Debug and Warn) and each line that
	// instances write (Debug). Nil discards.
	Logger *slog.Logger
}

// Rules say when idle instances are taken away. A zero field is a rule that does
// not apply. An instance in session is left alone until the session is over.
type Rules struct {
	// IdleAge is the longest time without a session.
	IdleAge time.Duration
	// TotalAge is the longest life.
	TotalAge time.Duration
	// MeanLife is the mean of exponentially distributed lives, each drawn by
	// Seed, node and count at the instance's start.
	MeanLife time.Duration
	// MassEvery is the time between mass events, each of which takes MassShare,
	// 0 to 1, of all idle instances.
	MassEvery time.Duration
	MassShare float64
}

// Frozen is an instance whose links are to be cut.
type Frozen struct {
	Node     int
	Instance string // its id, as in InstanceInfo
	PID      int
	// Links are the instance's own ends of its TCP connections, which are the
	// remote addresses at the other end. Nil where the system does not tell
	// (all but Linux).
	Links []netip.AddrPort
}

const (
	maxTimeout  = 15 * time.Minute
	minMemory   = 32 << 20
	maxEnv      = 4 << 10
	defaultInit = 10 * time.Second
)

// withDefaults returns c with zero fields filled in.
func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = "node-"
	}
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Timeout == 0 {
		c.Timeout = maxTimeout
	}
	if c.InitTimeout == 0 {
		c.InitTimeout = defaultInit
	}
	if c.Notice == 0 {
		c.Notice = DefaultNotice
	}
	c.Control = c.Control.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate reports every bad field of a Config with its defaults, joined.
func (c Config) validate() error {
	var errs []error
	bad := func(field string, given any, allowed string) {
		errs = append(errs, fmt.Errorf("%s: %v given, %s allowed", field, given, allowed))
	}
	share := func(field string, v float64) {
		if !(v >= 0 && v <= 1) {
			bad(field, v, "0 to 1")
		}
	}
	atLeastZero := func(field string, d time.Duration) {
		if d < 0 {
			bad(field, d, "0 or more")
		}
	}

	if c.Nodes < 0 || c.Nodes > MaxNodes {
		bad("Nodes", c.Nodes, fmt.Sprintf("0 to %d", MaxNodes))
	}
	if !validName(c.Prefix) {
		bad("Prefix", fmt.Sprintf("%q", c.Prefix), "1 to 54 letters, digits, - and _")
	}
	if c.Nodes == 0 && c.Binary == "" {
		// nothing to run
	} else if err := executable(c.Binary); err != nil {
		errs = append(errs, fmt.Errorf("field Binary: %w", err))
	}
	size := 0
	for k, v := range c.Env {
		size += len(k) + len(v)
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			bad("Env", fmt.Sprintf("%q", k), "names without = and zero bytes")
		}
	}
	if size > maxEnv {
		bad("Env", fmt.Sprintf("%d bytes", size), fmt.Sprintf("%d bytes in all", maxEnv))
	}
	if c.Memory < minMemory {
		bad("Memory", c.Memory, fmt.Sprintf("%d bytes or more", minMemory))
	}
	if c.Timeout < time.Millisecond || c.Timeout > maxTimeout {
		bad("Timeout", c.Timeout, fmt.Sprintf("1ms to %v", maxTimeout))
	}
	atLeastZero("InitTimeout", c.InitTimeout)
	if c.Concurrency < 0 {
		bad("Concurrency", c.Concurrency, "0 or more")
	}
	if !(c.Rate >= 0) {
		bad("Rate", c.Rate, "0 or more")
	}
	if c.Reuse > Random {
		bad("Reuse", c.Reuse, "MostRecent or Random")
	}
	atLeastZero("Gap", c.Gap)
	share("CutLinks", c.CutLinks)
	if c.CutLinks > 0 && c.Cut == nil {
		bad("Cut", "nil", "with CutLinks only a function")
	}
	atLeastZero("Reclaim.IdleAge", c.Reclaim.IdleAge)
	atLeastZero("Reclaim.TotalAge", c.Reclaim.TotalAge)
	atLeastZero("Reclaim.MeanLife", c.Reclaim.MeanLife)
	atLeastZero("Reclaim.MassEvery", c.Reclaim.MassEvery)
	share("Reclaim.MassShare", c.Reclaim.MassShare)
	if c.Notice < 0 || c.Notice > MaxNotice {
		bad("Notice", c.Notice, fmt.Sprintf("0 to %v", MaxNotice))
	}
	c.Control.validate(bad)
	return errors.Join(errs...)
}

// validName tells whether s can begin a function name of at most 64 characters.
func validName(s string) bool {
	if s == "" || len(s) > 54 {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}

func executable(path string) error {
	if path == "" {
		return errors.New("no path given")
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s is not an executable file", path)
	}
	return nil
}
