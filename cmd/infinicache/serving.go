package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"
)

// servingConfig is what every command has that serves until it is told to end.
type servingConfig struct {
	admin               string // address to listen at
	seed                uint64
	logLevel, logFormat string
	unauthenticated     bool // it is known that doors ask nobody who they are
	untilEOF            bool
}

const unauthenticatedFlag = "allow-unauthenticated"

func defaultServing() servingConfig {
	return servingConfig{admin: defaultAdmin, logLevel: "info", logFormat: "text"}
}

func (c *servingConfig) declare(f *flags) {
	add(f, &c.admin, "admin", address(), "where health, metrics, status and profiles are served")
	add(f, &c.seed, "seed", seed(), "make what is random repeatable; 0 for another one each time")
	add(f, &c.logLevel, "log-level", choice("debug", "info", "warn", "error"), "least important messages to log")
	add(f, &c.logFormat, "log-format", choice("text", "json"), "form of the log")
	f.cmd.Flags().BoolVar(&c.unauthenticated, unauthenticatedFlag, false, "do not warn of doors that other machines reach: something else, such as a network policy, keeps strangers out")
	f.cmd.Flags().BoolVar(&c.untilEOF, "until-eof", false, "end, too, when standard input ends")
	_ = f.cmd.Flags().MarkHidden("until-eof")
}

// serve assembles a system, runs it until ctx ends, and says on standard output
// when it serves, and where.
func serve(ctx context.Context, c systemConfig, con console) error {
	if c.seed == 0 {
		c.seed = uint64(time.Now().UnixNano())
	}
	if c.untilEOF {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		go func() {
			io.Copy(io.Discard, con.in)
			cancel()
		}()
	}
	if os.Getenv("GOGC") == "" {
		// Most of the heap is buffers that are reused: little garbage comes, and
		// waiting for as much of it as there is heap would double the memory.
		debug.SetGCPercent(40)
	}
	s, err := assemble(c, newLogger(con.err, c.logLevel, c.logFormat))
	if err != nil {
		return err
	}
	return s.run(ctx, func() { fmt.Fprintln(con.out, "ready", s.where()) })
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
