package node

import (
	"context"
	"net"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// dial is an attempt to reach the proxy, or to be reached by it.
type dial struct{ cancel context.CancelFunc }

func (d *dial) giveUp() {
	if d != nil {
		d.cancel()
	}
}

// startDial dials the proxy, or has it dial the instance, and then runs the link
// until it ends.
func (n *Node) startDial() {
	ctx, cancel := context.WithCancel(context.Background())
	d := &dial{cancel}
	n.dial = d
	inv := n.session.inv
	if inv.Proxy == "" {
		call := wire.Call{Address: n.cfg.Address}
		if len(inv.Fingerprint) > 0 {
			call.Fingerprint = n.identity.Fingerprint[:]
		}
		n.session.call(call) // greet goes on from here
		return
	}
	n.running.Go(func() {
		nc, err := n.reach(ctx, inv)
		greeting := wire.Preface(wire.RoleNode)
		n.run(n.dialled(d, nc, link.Config{Greeting: &greeting, Watch: n.cfg.Watch}, err))
	})
}

// reach connects to the proxy that an invocation names.
func (n *Node) reach(ctx context.Context, inv *wire.Invocation) (net.Conn, error) {
	nc, err := n.cfg.Dial(ctx, inv.Proxy)
	if err != nil || len(inv.Fingerprint) == 0 {
		return nc, err
	}
	return tlslink.Client(ctx, nc, nil, tlslink.Fingerprint(inv.Fingerprint))
}

// dialled takes the outcome of a dial; nil if no link came of it.
func (n *Node) dialled(d *dial, nc net.Conn, cfg link.Config, err error) *proxyLink {
	d.cancel()
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
	n.lastLink++
	l := &proxyLink{
		n:        n,
		number:   n.lastLink,
		conn:     link.New(nc, cfg),
		over:     make(chan struct{}),
		requests: map[uint32]request{},
	}
	n.links[l.number] = l
	n.step(lifecycle.Event{Kind: lifecycle.OnLinkUp, Link: l.number})
	return l
}

// run runs a link, if there is one, until it ends.
func (n *Node) run(l *proxyLink) {
	if l != nil {
		n.unlink(l, l.conn.Run(context.Background(), l))
	}
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
