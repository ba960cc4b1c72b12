package simcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// reign is one proxy, from its start until it is stopped or killed.
type reign struct {
	w     *Cache
	host  string
	cfg   proxy.Config
	claim *claim
	proxy *proxy.Proxy

	listeners []net.Listener
	stop      context.CancelFunc
	ended     chan struct{} // closed when nothing of it runs any more
	err       error         // Run's, once it has ended
	killed    bool
	contested bool // another may fence it
}

// newReign prepares a proxy of an epoch on a host. It is not begun.
func newReign(w *Cache, host string, epoch uint64, journalDir string) *reign {
	cfg := &w.cfg
	r := &reign{
		w: w, host: host, ended: make(chan struct{}), stop: func() {},
		claim: &claim{Platform: w.Platform, dead: make(chan struct{})},
	}
	r.cfg = proxy.Config{
		Pool: pool.Config{
			Driver: r.claim, Nodes: cfg.Nodes, Epoch: epoch, Key: []byte("a key for simulations"),
			Address: host + ":7000", Capacity: cfg.Capacity, Linger: pricing.Fixed(cfg.Linger), WarmEvery: cfg.Warm,
			Seed: cfg.Seed, Logger: cfg.Logger,
		},
		Shape: cfg.Shape, BackupEvery: cfg.Backup, Seed: cfg.Seed, Logger: cfg.Logger, JournalDir: journalDir,
	}
	if cfg.Encrypted {
		r.cfg.EncryptionKey = EncryptionKey()
	}
	if cfg.TLS {
		identity, err := tlslink.Derive(r.cfg.Pool.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		r.cfg.Pool.Identity = identity
	}
	if cfg.Pods {
		r.cfg.Pool.Address = ""
		r.cfg.Pool.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return w.Net.Dial(ctx, host, addr) }
	}
	if cfg.Proxy != nil {
		cfg.Proxy(&r.cfg)
	}
	return r
}

// begin starts the proxy. With an error there is none.
func (r *reign) begin() (err error) {
	if r.proxy, err = proxy.New(r.cfg); err != nil {
		return err
	}
	w := r.w
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	w.reigns = append(w.reigns, r)
	var parts sync.WaitGroup
	for port, role := range map[string]wire.Role{":6377": wire.RoleClient, ":7000": wire.RoleNode} {
		l, err := w.Net.Listen(r.host + port)
		if err != nil {
			w.t.Fatal(err)
		}
		if id := r.cfg.Pool.Identity; id != nil && role == wire.RoleNode {
			l = tlslink.Listener(l, id)
		}
		r.listeners = append(r.listeners, l)
		parts.Go(func() {
			if err := r.proxy.ServeLinks(ctx, l, role); err != nil {
				w.t.Errorf("serve %s: %v", r.host+port, err)
			}
		})
	}
	parts.Go(func() {
		r.err = r.proxy.Run(ctx)
		if r.err != nil && !r.killed && !(r.contested && errors.Is(r.err, proxy.ErrFenced)) {
			w.t.Errorf("proxy: %v", r.err)
		}
		cancel() // its listeners end with it
	})
	go func() {
		parts.Wait()
		close(r.ended)
	}()
	return nil
}

// Kill ends the proxy as SIGKILL does: its links are cut, its invocations are
// nobody's any more while their sessions run on, and its journal stays as it is
// at this instant. What is left of it in this process runs on for a moment, out
// of reach.
func (w *Cache) Kill() {
	w.t.Helper()
	r := w.reign
	r.killed = true
	close(r.claim.dead)
	for _, l := range r.listeners {
		l.Close()
	}
	w.Net.Drop(r.host)
	if r.cfg.JournalDir != "" {
		next := fmt.Sprintf("%s.%d", w.cfg.JournalDir, len(w.reigns))
		if err := copyJournal(r.cfg.JournalDir, next); err != nil {
			w.t.Fatal(err)
		}
		r.cfg.JournalDir = next
	}
	r.stop()
}

// End ends the proxy as SIGTERM does, and waits for it.
func (w *Cache) End() {
	w.t.Helper()
	w.reign.stop()
	<-w.reign.ended
}

// Restart starts the next proxy, at the addresses of the last, with what the last
// one's journal held. change, if there is any, has the last word on its
// configuration.
func (w *Cache) Restart(change ...func(*proxy.Config)) {
	w.t.Helper()
	if err := w.TryRestart(change...); err != nil {
		w.t.Fatal(err)
	}
}

// TryRestart is Restart where the proxy may refuse to start.
func (w *Cache) TryRestart(change ...func(*proxy.Config)) error {
	last := w.reign
	r := newReign(w, last.host, last.cfg.Pool.Epoch+1, last.cfg.JournalDir)
	for _, f := range change {
		f(&r.cfg)
	}
	if err := r.begin(); err != nil {
		return err
	}
	w.reign, w.Proxy = r, r.proxy
	return nil
}

// Rival starts a second proxy over the same pool on the host "rival", with an
// epoch of its own and no journal. One of the two will be fenced.
func (w *Cache) Rival(epoch uint64) *proxy.Proxy {
	w.t.Helper()
	r := newReign(w, "rival", epoch, "")
	r.contested, w.reign.contested = true, true
	if err := r.begin(); err != nil {
		w.t.Fatal(err)
	}
	return r.proxy
}

// copyJournal copies a journal that may be being written, as it is between two
// of its transactions: the pages of one stay untouched until its successor is
// whole on disk.
func copyJournal(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(from, journal.File))
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		before, err := roots(f)
		if err != nil {
			return err
		}
		all, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
		if err != nil {
			return err
		}
		after, err := roots(f)
		if err != nil {
			return err
		}
		if bytes.Equal(before, after) && bytes.Equal(before, all[:len(before)]) {
			return os.WriteFile(filepath.Join(to, journal.File), all, 0o600)
		}
	}
}

// roots are the two pages, one of which each transaction ends with.
func roots(f *os.File) ([]byte, error) {
	b := make([]byte, 2*os.Getpagesize())
	_, err := f.ReadAt(b, 0)
	return b, err
}

// claim is what one proxy has of the platform. When the proxy is dead its
// invocations end for it, and it makes no more.
type claim struct {
	*Platform
	dead chan struct{}
}

var errDead = errors.New("the proxy is dead")

// Invoke implements platform.Driver.
func (c *claim) Invoke(ctx context.Context, number int, payload []byte) (platform.Outcome, error) {
	return c.InvokeInbound(ctx, number, payload, nil)
}

// InvokeInbound implements platform.Inbound.
func (c *claim) InvokeInbound(ctx context.Context, number int, payload []byte, called func(wire.Call)) (platform.Outcome, error) {
	return c.alive(number, called, func(called func(wire.Call)) (platform.Outcome, error) {
		return c.Platform.InvokeInbound(ctx, number, payload, called)
	})
}

// InvokeInstance implements platform.Overlapping.
func (c *claim) InvokeInstance(ctx context.Context, number int, instance string, payload []byte, called func(wire.Call)) (platform.Outcome, error) {
	return c.alive(number, called, func(called func(wire.Call)) (platform.Outcome, error) {
		return c.Platform.InvokeInstance(ctx, number, instance, payload, called)
	})
}

// alive invokes for as long as the proxy lives, and passes calls on for as long.
func (c *claim) alive(number int, called func(wire.Call), invoke func(called func(wire.Call)) (platform.Outcome, error)) (platform.Outcome, error) {
	gone := func() (platform.Outcome, error) {
		return platform.Outcome{}, &platform.Error{Kind: platform.Canceled, Node: number, Err: errDead}
	}
	select {
	case <-c.dead:
		return gone()
	default:
	}
	var mu sync.Mutex
	over := false
	defer func() {
		mu.Lock()
		over = true
		mu.Unlock()
	}()
	ended := make(chan answer, 1)
	go func() {
		out, err := invoke(func(c wire.Call) {
			mu.Lock()
			defer mu.Unlock()
			if !over && called != nil {
				called(c)
			}
		})
		ended <- answer{out, err}
	}()
	select {
	case a := <-ended:
		return a.out, a.err
	case <-c.dead:
		return gone()
	}
}
