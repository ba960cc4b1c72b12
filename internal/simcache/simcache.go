// Package simcache is a whole cache for tests: the real proxy, nodes and client
// library over a network in memory and a function platform by script. Made inside
// a testing/synctest bubble it lives in virtual time.
package simcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/simnet"
)

// Config describes a cache. Zero fields take the defaults.
type Config struct {
	Nodes    int           // default 14
	Capacity int64         // bytes of chunks per instance, default 64 MiB
	Shape    object.Shape  // default by size and pool
	Linger   time.Duration // default 500 ms
	Warm     time.Duration // between warm-ups of a node; default never
	Backup   time.Duration // between backups of a node; default never
	// JournalDir is where the first proxy keeps its journal, and each later one a
	// copy beside it; empty is nowhere.
	JournalDir string
	// Pods has the platform be one where an instance is not frozen, the proxy dials
	// it, and a node has one at a time: the machine of a container platform.
	Pods bool
	// TLS has the links of nodes be TLS.
	TLS bool
	// Encrypted has clients and front doors encrypt, with EncryptionKey.
	Encrypted bool
	// Liars has functions lie when they are told to; see Platform.Lie. It goes with
	// neither Pods nor TLS.
	Liars  bool
	Seed   uint64
	Logger *slog.Logger
	Proxy  func(*proxy.Config) // last changes
}

// Cache is one cache, running.
type Cache struct {
	Net      *simnet.Net
	Proxy    *proxy.Proxy
	Platform *Platform

	t      testing.TB
	cfg    Config
	client atomic.Int64
	reign  *reign   // of Proxy
	reigns []*reign // all there were
	once   sync.Once
}

// The addresses that clients and nodes dial.
const (
	ClientAddr = "proxy:6377"
	NodeAddr   = "proxy:7000"
)

// New starts a cache. It is stopped when the test ends, or by Stop.
func New(t testing.TB, cfg Config) *Cache {
	t.Helper()
	if cfg.Nodes == 0 {
		cfg.Nodes = 14
	}
	if cfg.Capacity == 0 {
		cfg.Capacity = 64 << 20
	}
	if cfg.Warm == 0 {
		cfg.Warm = -1
	}
	if cfg.Backup == 0 {
		cfg.Backup = -1
	}
	w := &Cache{Net: simnet.New(cfg.Seed), t: t, cfg: cfg}
	w.Platform = newPlatform(w.Net, cfg.Logger)
	w.Platform.pods, w.Platform.liars = cfg.Pods, cfg.Liars
	t.Cleanup(w.Stop)
	r := newReign(w, "proxy", 1, cfg.JournalDir)
	if err := r.begin(); err != nil {
		t.Fatal(err)
	}
	w.reign, w.Proxy = r, r.proxy
	return w
}

// Stop ends the cache and waits for it. It is safe to call twice.
func (w *Cache) Stop() {
	w.once.Do(func() {
		for _, r := range w.reigns {
			r.stop()
		}
		for _, r := range w.reigns {
			<-r.ended
		}
		w.Platform.end()
		w.Net.Close()
	})
}

// Client is a client library on a host of its own, client/1 and so on. It is
// closed with the test.
func (w *Cache) Client() *infinicache.Client {
	w.t.Helper()
	if w.cfg.Encrypted {
		return w.ClientWith(EncryptionKey())
	}
	return w.ClientWith(nil)
}

// ClientWith is Client, with an encryption key or none.
func (w *Cache) ClientWith(key []byte) *infinicache.Client {
	w.t.Helper()
	host := fmt.Sprint("client/", w.client.Add(1))
	c, err := infinicache.New(infinicache.Config{
		Proxies: []string{ClientAddr}, EncryptionKey: key,
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return w.Net.Dial(ctx, host, addr)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// NothingUnexplained fails the test if a miss had no cause.
func (w *Cache) NothingUnexplained() {
	w.t.Helper()
	if n := w.Proxy.Status().Unexplained; n != 0 {
		w.t.Errorf("%d misses are unexplained", n)
	}
}

// errGone is what a session's context is cancelled with when its instance is
// taken away.
var errGone = errors.New("instance reclaimed")
