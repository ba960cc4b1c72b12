package pool

import (
	"context"
	"net"
	"time"

	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// dialPatience is how long an instance may take to answer a dial.
	dialPatience = 2 * time.Second
	// dialTries is how often an instance that called is dialled, and dialPause the
	// time between. If none succeeds it calls again, or returns.
	dialTries = 3
	dialPause = 100 * time.Millisecond
	// maxAnswered bounds the calls of one session that are being answered, their links
	// included; more are not listened to. An instance needs two: it calls anew when
	// its link is cut, and this side may not know that yet.
	maxAnswered = 8
)

// runInvocation runs one session of a node.
func (p *Pool) runInvocation(ctx context.Context, node uint32, payload []byte) (platform.Outcome, error) {
	if p.cfg.Address != "" {
		return p.cfg.Driver.Invoke(ctx, int(node), payload)
	}
	ctx, called, cancel := p.answering(ctx, node)
	defer cancel()
	return p.cfg.Driver.(platform.Inbound).InvokeInbound(ctx, int(node), payload, called)
}

// runInstance runs a session of one instance of a node.
func (p *Pool) runInstance(ctx context.Context, node uint32, id wire.Instance, payload []byte) (platform.Outcome, error) {
	ctx, called, cancel := p.answering(ctx, node)
	defer cancel()
	return p.cfg.Driver.(platform.Overlapping).InvokeInstance(ctx, int(node), id.String(), payload, called)
}

// answering takes the calls of the instances of one session, and dials them, where
// instances do not dial the proxy; called is nil where they do. The context is for
// that session, and cancel for its end.
func (p *Pool) answering(ctx context.Context, node uint32) (_ context.Context, called func(wire.Call), cancel func()) {
	ctx, cancel = context.WithCancel(ctx)
	if p.cfg.Address != "" {
		return ctx, nil, cancel
	}
	answered := make(chan struct{}, maxAnswered)
	return ctx, func(c wire.Call) {
		select {
		case answered <- struct{}{}:
			p.work.Go(func() {
				defer func() { <-answered }()
				p.answerCall(ctx, node, c)
			})
		default:
			p.log.Warn("too many calls in one session", "node", node, "address", c.Address)
		}
	}, cancel
}

// answerCall dials an instance that called and serves the link, which may outlive
// the session. ctx ends with the session.
func (p *Pool) answerCall(ctx context.Context, node uint32, c wire.Call) {
	for try := range dialTries {
		nc, err := p.reach(ctx, c)
		if err == nil {
			greeting := wire.Preface(wire.RoleProxy)
			cfg := p.cfg.Link
			cfg.Greeting, cfg.Peer = &greeting, wire.RoleNode
			p.serve(nc, cfg, func() {})
			return
		}
		if ctx.Err() != nil {
			return
		}
		p.log.Info("instance not reached", "node", node, "address", c.Address, "try", try+1, "err", err)
		select {
		case <-time.After(dialPause):
		case <-ctx.Done():
			return
		}
	}
}

// reach connects to an instance.
func (p *Pool) reach(ctx context.Context, c wire.Call) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	nc, err := p.cfg.Dial(ctx, c.Address)
	if err != nil || p.cfg.Identity == nil {
		return nc, err
	}
	var peer tlslink.Fingerprint
	copy(peer[:], c.Fingerprint) // one that is missing fits no key
	return tlslink.Client(ctx, nc, p.cfg.Identity, peer)
}
