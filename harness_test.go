package infinicache_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/simnet"
)

// start serves a fakeProxy in memory and returns it with a client, both of which
// end with the test. change may be nil.
func start(t testing.TB, change func(*infinicache.Config)) (*fakeProxy, *infinicache.Client) {
	t.Helper()
	p := newFakeProxy()
	n := simnet.New(1)
	l, err := n.Listen("proxy")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { p.serve(l) })
	cfg := infinicache.Config{Proxies: []string{"proxy"}, Dial: dialer(n), Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	c, err := infinicache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		l.Close()
		wg.Wait()
		n.Close()
		if p.complaint != nil {
			t.Errorf("the client broke the protocol: %v", p.complaint)
		}
	})
	return p, c
}

// withKey has a client encrypt, with a key that such a byte makes.
func withKey(b byte) func(*infinicache.Config) {
	return func(cfg *infinicache.Config) { cfg.EncryptionKey = bytes.Repeat([]byte{b}, 32) }
}

// inBothForms runs a test without encryption and with it.
func inBothForms(t *testing.T, test func(t *testing.T, form func(*infinicache.Config))) {
	t.Run("plain", func(t *testing.T) { test(t, nil) })
	t.Run("encrypted", func(t *testing.T) { test(t, withKey(1)) })
}

func dialer(n *simnet.Net) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) { return n.Dial(ctx, "client", addr) }
}

// content is size bytes that are the same for the same seed.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

// noLeak fails the test if goroutines of the client are left. The test has closed
// its clients.
func noLeak(t testing.TB) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for range 1000 {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, "infinicache.(*") {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
}

// cluster serves a fakeProxy at each address.
func cluster(t testing.TB, addrs []string) (dial func(context.Context, string) (net.Conn, error), fakes map[string]*fakeProxy) {
	t.Helper()
	n := simnet.New(1)
	fakes = map[string]*fakeProxy{}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		n.Close()
		wg.Wait()
	})
	for _, addr := range addrs {
		p := newFakeProxy()
		l, err := n.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		fakes[addr] = p
		wg.Go(func() { p.serve(l) })
	}
	return dialer(n), fakes
}
