package pool

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/wire"
)

// overrun is how much longer than the platform's longest session an invocation
// is waited for.
const overrun = 30 * time.Second

// invoke starts a session. The mutex is held.
func (n *node) invoke(session uint64) {
	n.meter.invocations++
	n.pool.work.Go(func() {
		class, err := n.runSession(session)
		if err != nil && n.pool.ctx.Err() == nil {
			n.pool.log.Warn("session failed", "node", n.id, "session", session, "err", err)
		}
		n.step(lifecycle.Event{Kind: lifecycle.OnReturned, Session: session, Class: class})
	})
}

func (n *node) runSession(session uint64) (lifecycle.Class, error) {
	cfg := &n.pool.cfg
	secret := wire.Secret(cfg.Key, cfg.Epoch, n.id, session)
	payload, err := (&wire.Invocation{
		Protocol: wire.Version, Node: n.id, Epoch: cfg.Epoch, Session: session,
		Secret: secret[:], Proxy: cfg.Address, Linger: n.pool.linger,
		Capacity: cfg.Capacity,
	}).Encode()
	if err != nil {
		return lifecycle.Denied, err
	}
	ctx := n.pool.ctx
	if longest := cfg.Driver.Capabilities().LongestSession; longest > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longest+overrun)
		defer cancel()
	}
	out, err := cfg.Driver.Invoke(ctx, int(n.id), payload)
	var failed *platform.Error
	if errors.As(err, &failed) {
		out = failed.Outcome
	}
	n.book(out)
	if err != nil {
		return classOf(err), err
	}
	var ret wire.Return
	if err := json.Unmarshal(out.Payload, &ret); err != nil {
		return lifecycle.OK, wire.Errorf(wire.CodeProtocol, "the function answered no return: %v", err)
	}
	n.pool.log.Debug("session over", "node", n.id, "session", session, "instance", ret.Instance,
		"reason", ret.Reason, "requests", ret.Requests, "billed", out.Billed)
	return lifecycle.OK, nil
}

// classOf is what a platform's failure means to the machine.
func classOf(err error) lifecycle.Class {
	var e *platform.Error
	if !errors.As(err, &e) {
		return lifecycle.Unavailable
	}
	switch {
	case e.Kind == platform.Throttled:
		return lifecycle.Throttled
	case e.Kind == platform.NotReady:
		return lifecycle.NotReady
	case e.Kind == platform.NotFound:
		return lifecycle.Missing
	case e.Kind.InstanceGone() == platform.Yes:
		return lifecycle.Gone
	case e.Kind.Retry() == platform.RetryNever:
		return lifecycle.Denied
	default:
		return lifecycle.Unavailable
	}
}

// meter counts what a node's sessions cost. It is guarded by the node's mutex.
type meter struct {
	invocations uint64
	cold        uint64
	billed      time.Duration
	memory      int64 // most ever used, as the platform says
}

func (n *node) book(out platform.Outcome) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.meter.billed += out.Billed
	if out.Cold {
		n.meter.cold++
	}
	n.meter.memory = max(n.meter.memory, out.MaxMemory)
}
