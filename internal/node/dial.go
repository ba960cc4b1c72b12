package node

import (
	"context"
	"net"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// dial is an attempt to reach the proxy.
type dial struct{ cancel context.CancelFunc }

func (d *dial) giveUp() {
	if d != nil {
		d.cancel()
	}
}

// startDial dials the proxy, and then runs the link until it ends.
func (n *Node) startDial() {
	ctx, cancel := context.WithCancel(context.Background())
	d := &dial{cancel}
	n.dial = d
	addr := n.session.inv.Proxy
	n.running.Go(func() {
		nc, err := n.cfg.Dial(ctx, addr)
		cancel()
		l := n.dialled(d, nc, err)
		if l == nil {
			return
		}
		err = l.conn.Run(context.Background(), l)
		n.unlink(l, err)
	})
}

// dialled takes the outcome of a dial; nil if no link came of it.
func (n *Node) dialled(d *dial, nc net.Conn, err error) *proxyLink {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dial != d { // given up meanwhile
		if err == nil {
			nc.Close()
		}
		return nil
	}
	n.dial = nil
	if err != nil {
		n.log.Debug("proxy not reached", "err", err)
		n.step(lifecycle.Event{Kind: lifecycle.OnLinkDown})
		return nil
	}
	greeting := wire.Preface(wire.RoleNode)
	n.lastLink++
	l := &proxyLink{
		n:        n,
		number:   n.lastLink,
		conn:     link.New(nc, link.Config{Greeting: &greeting}),
		over:     make(chan struct{}),
		requests: map[uint32]request{},
	}
	n.links[l.number] = l
	n.step(lifecycle.Event{Kind: lifecycle.OnLinkUp, Link: l.number})
	return l
}

// unlink forgets a link that ended.
func (n *Node) unlink(l *proxyLink, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log.Debug("link ended", "link", l.number, "err", err)
	delete(n.links, l.number)
	if l.patience != nil {
		l.patience.Stop()
	}
	l.abandon()
	n.step(lifecycle.Event{Kind: lifecycle.OnLinkDown, Link: l.number})
	close(l.over)
}
