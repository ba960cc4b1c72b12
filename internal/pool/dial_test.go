package pool_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// crier is a platform on which an instance calls without end.
type crier struct{ calls int }

func (c *crier) Capabilities() platform.Capabilities {
	return platform.Capabilities{Name: "crier", Inbound: true, Memory: 256 << 20}
}

func (c *crier) Invoke(ctx context.Context, node int, payload []byte) (platform.Outcome, error) {
	return c.InvokeInbound(ctx, node, payload, nil)
}

func (c *crier) InvokeInbound(ctx context.Context, _ int, _ []byte, called func(wire.Call)) (platform.Outcome, error) {
	for range c.calls {
		called(wire.Call{Address: "192.0.2.1:8076"})
	}
	<-ctx.Done()
	return platform.Outcome{}, &platform.Error{Kind: platform.Canceled, Err: context.Cause(ctx)}
}

// Whoever answers as a function may call as often as it likes, from addresses where
// nobody answers, or says nothing.
func TestCallsWithoutEndAreBounded(t *testing.T) {
	for name, silent := range map[string]bool{"where nobody answers": false, "where nothing is said": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int64
				enter := func() func() {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					return func() { now.Add(-1) }
				}
				p, err := pool.New(pool.Config{
					Driver: &crier{calls: 10_000}, Nodes: 1, Epoch: 1, Key: poolKey, Capacity: 10 << 20,
					Dial: func(ctx context.Context, _ string) (net.Conn, error) {
						leave := enter()
						if !silent {
							defer leave()
							<-ctx.Done()
							return nil, ctx.Err()
						}
						nc, far := net.Pipe()
						go func() {
							defer leave()
							for b := make([]byte, 64); ; {
								if _, err := far.Read(b); err != nil {
									return
								}
							}
						}()
						return nc, nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); _ = p.Run(ctx) }()
				p.Store(0, wire.Chunk{Version: 1}, 10, []byte("record"), lifecycle.Serve, func(catalog.Place, error) {})
				time.Sleep(time.Minute)
				if n := most.Load(); n == 0 || n > 16 {
					t.Errorf("%d calls were answered at once", n)
				}
				if n := now.Load(); n != 0 {
					t.Errorf("%d are still being answered after a minute", n)
				}
				stop()
				<-ended
			})
		})
	}
}
