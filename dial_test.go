package infinicache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/simnet"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestProxyThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		defer n.Close()
		var dials atomic.Int64
		c, err := infinicache.New(infinicache.Config{
			Proxies: []string{"proxy"},
			Dial: func(ctx context.Context, addr string) (net.Conn, error) {
				dials.Add(1)
				return n.Dial(ctx, "client", addr)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		get := func(most time.Duration) {
			t.Helper()
			began := time.Now()
			_, err := c.GetBytes(t.Context(), "k")
			if !errors.Is(err, infinicache.ErrUnavailable) || errors.Is(err, infinicache.ErrNotFound) {
				t.Errorf("Get = %v", err)
			}
			if d := time.Since(began); d > most {
				t.Errorf("it took %v, want at most %v", d, most)
			}
		}
		get(time.Second)
		if n := dials.Load(); n != 4 {
			t.Errorf("%d dials, want 4", n)
		}
		var wg sync.WaitGroup
		for range 50 { // between two dials nobody waits, and nobody dials
			wg.Go(func() { get(0) })
		}
		wg.Wait()
		if n := dials.Load(); n != 4 {
			t.Errorf("%d dials, want 4", n)
		}

		p := newFakeProxy()
		l, err := n.Listen("proxy")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { p.serve(l) })
		time.Sleep(2 * time.Second)
		want := mustPut(t, c, "k", 1000)
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get = %v", err)
		}
		l.Close()
		p.cut()
		get(time.Second)
		wg.Wait()
	})
}

func TestDialIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := infinicache.New(infinicache.Config{
			Proxies: []string{"nowhere"}, Retries: -1, DialTimeout: 2 * time.Second,
			Dial: func(ctx context.Context, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began := time.Now()
		if _, err := c.Stat(t.Context(), "k"); !errors.Is(err, infinicache.ErrUnavailable) || time.Since(began) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := c.Stat(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// raw is a listener whose peer is not a proxy: talk is all it does with each
// connection.
func raw(t *testing.T, talk func(net.Conn)) *infinicache.Client {
	t.Helper()
	n := simnet.New(1)
	l, err := n.Listen("proxy")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				talk(nc)
				nc.Close()
			})
		}
	})
	c, err := infinicache.New(infinicache.Config{Proxies: []string{"proxy"}, Dial: dialer(n)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		l.Close()
		n.Close()
		wg.Wait()
	})
	return c
}

func TestOtherPrefaces(t *testing.T) {
	newer := wire.Preface(wire.RoleProxy)
	newer[4]++
	node := wire.Preface(wire.RoleNode)
	for name, test := range map[string]struct {
		says string
		want error
	}{
		"newer version":    {string(newer[:]), infinicache.ErrVersion},
		"no proxy":         {string(node[:]), infinicache.ErrProtocol},
		"a web server":     {"HTTP/1.1 400 Bad Request\r\n\r\n", infinicache.ErrProtocol},
		"nothing":          {"", infinicache.ErrUnavailable},
		"half a preface":   {string(newer[:4]), infinicache.ErrUnavailable},
		"noise afterwards": {string(proxyPreface()) + "\xff\xff\xff\xff garbage that is no frame header", infinicache.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := raw(t, func(nc net.Conn) {
					io.WriteString(nc, test.says)
					nc.(interface{ CloseWrite() error }).CloseWrite()
					io.Copy(io.Discard, nc)
				})
				if _, err := c.GetBytes(t.Context(), "k"); !errors.Is(err, test.want) || errors.Is(err, infinicache.ErrNotFound) {
					t.Errorf("Get = %v, want %v", err, test.want)
				}
			})
		})
	}
}

func proxyPreface() []byte {
	b := wire.Preface(wire.RoleProxy)
	return b[:]
}
