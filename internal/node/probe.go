package node

import (
	"context"
	"encoding/json"
	"net"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// probePatience is how long a probe may take.
const probePatience = 5 * time.Second

// Probe tells whether the instance reaches a proxy at an address. It has no part in
// sessions. The answer is a wire.ProbeResult.
//
// An instance that anybody can invoke (Config.Loyal), and that holds chunks, refuses: a
// stranger's probes would keep it from its proxy for as long as they take.
func (n *Node) Probe(ctx context.Context, p wire.Probe) ([]byte, error) {
	if n.cfg.Loyal && n.holdsAny() {
		return nil, wire.Errorf(wire.CodeDenied, "this instance holds chunks and answers no probes")
	}
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	began := time.Now()
	err := n.touch(ctx, p.Probe)
	r := wire.ProbeResult{
		Instance: n.instance, Version: n.cfg.Version, Memory: n.cfg.Memory,
		Reached: err == nil, Milliseconds: float64(time.Since(began)) / float64(time.Millisecond),
	}
	if err != nil {
		r.Error = err.Error()
	}
	return json.Marshal(r)
}

func (n *Node) holdsAny() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.store != nil && n.store.Len() > 0
}

// touch connects to an address and leaves again. The proxy's links may be TLS or
// not; whose key it has is for sessions to know.
func (n *Node) touch(ctx context.Context, addr string) error {
	err := n.touchBy(ctx, addr, tlslink.Anyone)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return n.touchBy(ctx, addr, func(_ context.Context, nc net.Conn) (net.Conn, error) { return nc, nil })
}

func (n *Node) touchBy(ctx context.Context, addr string, secure func(context.Context, net.Conn) (net.Conn, error)) error {
	nc, err := n.cfg.Dial(ctx, addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	if nc, err = secure(ctx, nc); err != nil {
		return err
	}
	return link.Touch(nc, wire.RoleNode)
}
