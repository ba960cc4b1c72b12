package node

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// probed is a connection that counts when it is given a keep-alive.
type probed struct {
	net.Conn
	times *int
}

func (p probed) SetKeepAliveConfig(net.KeepAliveConfig) error { *p.times++; return nil }

func (p probed) SyscallConn() (syscall.RawConn, error) {
	return nil, errors.New("a connection of no system")
}

// probing is a listener of such connections.
type probing struct {
	net.Listener
	times *int
}

func (p probing) Accept() (net.Conn, error) {
	nc, err := p.Listener.Accept()
	return probed{nc, p.times}, err
}

// The proxy's machine is probed by instances that are never frozen, whoever dials,
// and by no others.
func TestMachineOfTheProxyIsProbed(t *testing.T) {
	for _, watch := range []bool{true, false} {
		var accepted, dialled int
		inWorld(t, Config{Address: "instance:1", Watch: watch}, func(w *world) {
			dial := w.node.cfg.Dial
			w.node.cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
				nc, err := dial(ctx, addr)
				return probed{nc, &dialled}, err
			}
			p, returned := w.join(invocation(1))
			p.sleep(0, returned)
		})
		inWorld(t, Config{Address: "instance:1", Watch: watch}, func(w *world) {
			ln, err := w.net.Listen("instance:1")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			w.wg.Go(func() { _ = w.node.Serve(ctx, probing{ln, &accepted}) })
			inv := invocation(1)
			inv.Proxy = ""
			payload, err := inv.Encode()
			if err != nil {
				t.Fatal(err)
			}
			over := make(chan error, 1)
			w.wg.Go(func() {
				_, err := w.node.InvokeCalling(context.Background(), payload, func(wire.Call) {
					w.wg.Go(func() {
						nc, err := w.net.Dial(context.Background(), "proxy", "instance:1")
						if err != nil {
							t.Error(err)
							return
						}
						preface := wire.Preface(wire.RoleProxy)
						p := &peer{t: t, in: make(chan heard, 64), over: make(chan struct{})}
						p.conn = link.New(nc, link.Config{Greeting: &preface, Peer: wire.RoleNode})
						w.wg.Go(func() {
							p.err = p.conn.Run(context.Background(), p)
							close(p.over)
						})
						p.welcome(inv)
						p.expect(wire.TypeSleep, 0, nil)
						p.say(wire.TypeAsleep, 0)
					})
				})
				over <- err
			})
			if err := <-over; err != nil {
				t.Error(err)
			}
		})
		want := 0
		if watch {
			want = 1
		}
		if accepted != want || dialled != want {
			t.Errorf("Watch %v: %d links accepted and %d dialled are probed, want %d of each", watch, accepted, dialled, want)
		}
	}
}
