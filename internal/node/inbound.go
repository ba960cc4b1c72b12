package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// greetPatience is how long a proxy that dials may take until it is known.
	greetPatience = 3 * time.Second
	// maxGreetings bounds the connections of which it is not known yet whose they are.
	maxGreetings = 16
	// acceptPause is how long the listener rests when the system is out of
	// descriptors or the like.
	acceptPause = 50 * time.Millisecond
)

// Serve takes links of proxies that dial the instance at l, which Config.Address
// tells them, until ctx ends; then it closes l. Only a proxy that was called for the
// session under way is listened to. The links live on; Close ends them.
func (n *Node) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var door link.Greetings
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			n.log.Warn("accept failed", "err", err)
			select {
			case <-time.After(acceptPause):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		door.Enter(nc, maxGreetings)
		n.take(ctx, nc, &door)
	}
}

// take serves a connection at the door once it is known whose it is.
func (n *Node) take(ctx context.Context, nc net.Conn, door *link.Greetings) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		nc.Close()
		door.Leave(nc)
		return
	}
	n.running.Go(func() {
		known, d, err := n.greet(ctx, nc)
		was := door.Leave(nc)
		if err == nil {
			n.run(n.dialled(d, known, link.Config{Watch: n.cfg.Watch}, nil))
			return
		}
		nc.Close()
		if was {
			n.log.Info("connection refused", "remote", nc.RemoteAddr(), "err", err)
		}
	})
}

// greet finds out whether a proxy dialled that was called.
func (n *Node) greet(ctx context.Context, nc net.Conn) (net.Conn, *dial, error) {
	ctx, cancel := context.WithTimeout(ctx, greetPatience)
	defer cancel()
	n.mu.Lock()
	d := n.dial
	var inv *wire.Invocation
	if n.session != nil {
		inv = n.session.inv
	}
	n.mu.Unlock()
	if d == nil || inv.Proxy != "" {
		return nil, nil, errors.New("no proxy was called")
	}
	if len(inv.Fingerprint) > 0 {
		var err error
		if nc, err = tlslink.Server(ctx, nc, n.identity, tlslink.Fingerprint(inv.Fingerprint)); err != nil {
			return nil, nil, err
		}
	}
	if _, err := link.Greet(nc, wire.RoleNode, greetPatience); err != nil {
		return nil, nil, fmt.Errorf("greet: %w", err)
	}
	return nc, d, nil
}
