package pool_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// TestFailuresThatPassAreNoWarnings sees what is logged of a session that fails, and of
// one right after it that fails the same way.
func TestFailuresThatPassAreNoWarnings(t *testing.T) {
	for _, c := range []struct {
		err         error
		first, then string
	}{
		{&platform.Error{Kind: platform.Busy}, "INFO", "INFO"},
		{&platform.Error{Kind: platform.NotReady}, "INFO", "WARN"},
		{&platform.Error{Kind: platform.Unavailable}, "INFO", "WARN"},
		{&platform.Error{Kind: platform.Throttled}, "INFO", "WARN"},
		{&platform.Error{Kind: platform.Denied}, "WARN", "WARN"},
		{&platform.Error{Kind: platform.NotFound}, "WARN", "WARN"},
		{&platform.Error{Kind: platform.Exited}, "WARN", "WARN"},
		{errors.New("another"), "WARN", "WARN"},
	} {
		var log bytes.Buffer
		bubbleWith(t, pool.Config{Nodes: 1, WarmEvery: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, r *rig) {
			for range 2 {
				r.store(0, wire.Chunk{Version: 1}, 100)
				r.invoked().over <- c.err
				time.Sleep(time.Minute) // the node rests
			}
		})
		var levels []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, `msg="session failed"`) {
				_, level, _ := strings.Cut(line, "level=")
				levels = append(levels, level[:4])
			}
		}
		if got := strings.Join(levels, " "); got != c.first+" "+c.then {
			t.Errorf("%v is logged as %s, want %s %s", c.err, got, c.first, c.then)
		}
	}
}
