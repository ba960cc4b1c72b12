package infinicache_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
)

// probed is a TCP connection that tells what keep-alive it is given.
type probed struct {
	*net.TCPConn
	told chan<- net.KeepAliveConfig
}

func (p probed) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	p.told <- cfg
	return p.TCPConn.SetKeepAliveConfig(cfg)
}

// A proxy whose machine goes without a word is to be noticed within some 5 s,
// whoever dials.
func TestMachineOfTheProxyIsProbed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := newFakeProxy()
	var wg sync.WaitGroup
	wg.Go(func() { p.serve(l) })
	defer wg.Wait()
	defer l.Close()
	told := make(chan net.KeepAliveConfig, 1)
	c, err := infinicache.New(infinicache.Config{
		Proxies: []string{l.Addr().String()},
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			nc, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return probed{nc.(*net.TCPConn), told}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Stat(t.Context(), "k"); !errors.Is(err, infinicache.ErrNotFound) {
		t.Fatal(err)
	}
	select {
	case cfg := <-told:
		if after := cfg.Idle + time.Duration(cfg.Count)*cfg.Interval; !cfg.Enable || after > 5*time.Second {
			t.Errorf("keep-alive %+v gives the proxy up after %v, want 5 s at most", cfg, after)
		}
	default:
		t.Error("the proxy's machine is not probed")
	}
}
