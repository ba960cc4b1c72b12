package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/simcache"
	"github.com/infinicache/infinicache/internal/wire"
)

// told counts the lines of a log by their message.
type told struct {
	slog.Handler
	mu    *sync.Mutex
	times map[string]int
}

func (l told) Enabled(context.Context, slog.Level) bool { return true }

func (l told) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times[r.Message]++
	return nil
}

func (l told) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l told) of(message string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times[message]
}

// Strangers who do not say whose they are, some after they said that they are nodes or
// clients, are few at a time, have to go soon, and keep nobody out.
func TestStrangersAtTheDoors(t *testing.T) {
	const (
		strangers, most = 2000, 512
		tooMany         = "too many connections do not say whose they are; the oldest are closed"
	)
	log := told{slog.DiscardHandler, new(sync.Mutex), map[string]int{}}
	bubble(t, simcache.Config{Logger: slog.New(log)}, func(t *testing.T, w *simcache.Cache) {
		flood := func(addr, says string) (open *atomic.Int64) {
			t.Helper()
			open = new(atomic.Int64)
			for i := range strangers {
				nc, err := w.Net.Dial(t.Context(), fmt.Sprint("stranger/", i), addr)
				if err != nil {
					t.Fatal(err)
				}
				if i%2 == 0 {
					_, _ = io.WriteString(nc, says)
				}
				open.Add(1)
				go func() {
					_, _ = io.Copy(io.Discard, nc)
					nc.Close()
					open.Add(-1)
				}()
			}
			synctest.Wait()
			return open
		}
		node, client := wire.Preface(wire.RoleNode), wire.Preface(wire.RoleClient)
		nodes := flood(simcache.NodeAddr, string(node[:]))
		clients := flood(simcache.ClientAddr, string(client[:7]))
		if a, b := nodes.Load(), clients.Load(); a > most || b > most {
			t.Errorf("%d strangers at the nodes' door and %d at the clients', want %d each at most", a, b, most)
		}
		if n := w.Proxy.Status().Refused; n != 2*(strangers-most) {
			t.Errorf("%d connections counted as refused, want %d", n, 2*(strangers-most))
		}
		if n := log.of(tooMany); n != 2 {
			t.Errorf("the log tells of strangers %d times, want once for each door", n)
		}
		// All nodes dial for the first time.
		began := time.Now()
		c := w.Client()
		want := content(1, 20<<20)
		mustPut(t, c, "k", want)
		mustGet(t, c, "k", want)
		if d := time.Since(began); d > time.Second {
			t.Errorf("among strangers PUT and GET take %v", d)
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if a, b := nodes.Load(), clients.Load(); a+b > 0 {
			t.Errorf("%d and %d strangers are still there after 15 s", a, b)
		}
		if n := log.of("connection refused"); n > 2*most {
			t.Errorf("the log tells of %d strangers, at most %d were left", n, 2*most)
		}
		// Who is known stays, however many come.
		flood(simcache.NodeAddr, "")
		flood(simcache.ClientAddr, "")
		if a, b := log.of("link ended"), log.of("client gone"); a+b > 0 {
			t.Errorf("links of %d nodes and %d clients ended among strangers", a, b)
		}
		mustGet(t, c, "k", want)
		if n := log.of(tooMany); n != 2 {
			t.Errorf("the log tells of strangers %d times within a minute", n)
		}
	})
}
