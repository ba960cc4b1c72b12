package pool

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// overrun is how much longer than the platform's longest session an invocation
// is waited for.
const overrun = 30 * time.Second

// invoke starts a session, if the pool's limits allow it. The mutex is held.
func (s *seat) invoke(session uint64, cause lifecycle.Cause) {
	n := s.n
	p := n.pool
	again := s.failed
	allowed, class := p.allow(again)
	if allowed == nil {
		p.work.Go(func() { s.returned(session, class) })
		return
	}
	n.meter.invocations++
	ctx, giveUp := context.WithCancelCause(p.ctx)
	s.giveUp = giveUp
	p.work.Go(func() {
		defer giveUp(nil)
		n.settle()
		class, out, err := s.runSession(ctx, session, cause)
		if err != nil && p.ctx.Err() == nil {
			p.log.Log(ctx, gravity(err, again), "session failed", "node", n.id, "session", session, "err", err)
		}
		s.book(allowed, out)
		s.returned(session, class)
	})
}

// gravity is how a session's failure is logged: as a warning if somebody ought to look
// at it. That an instance is in its last session, or goes in the middle of one, is the
// way of a platform that takes instances, unless it happens again and again.
func gravity(err error, again bool) slog.Level {
	var e *platform.Error
	passing := errors.As(err, &e) && (e.Kind == platform.Busy || e.Kind.Retry() == platform.RetryLater && !again)
	if passing {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// returned ends a session.
func (s *seat) returned(session uint64, class lifecycle.Class) {
	s.n.mu.Lock()
	s.failed = class != lifecycle.OK
	after := s.n.tellHeld(nil)
	after = s.stepLocked(lifecycle.Event{Kind: lifecycle.OnReturned, Session: session, Class: class}, after)
	after = s.arrive(after)
	s.n.mu.Unlock()
	run(after)
}

const (
	// hushFor is how long an instance takes that was refused to return and be
	// frozen, on a machine that is busy.
	hushFor = 300 * time.Millisecond
	// liveFor is how long after the start of a reign a node is not invoked of which
	// no instance was refused, once another node's was: the one before ended with
	// sessions running, which look for the proxy for a second.
	liveFor = 1200 * time.Millisecond
)

// hush has the node not invoked for a moment, because an instance of it is in a
// session of an earlier reign that ends now: an invocation would start another.
func (n *node) hush() {
	n.pool.live.Store(true)
	n.mu.Lock()
	n.quiet, n.hushed = time.Now().Add(hushFor), true
	n.mu.Unlock()
}

// quietUntil is when the node may be invoked.
func (n *node) quietUntil() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	until := n.quiet
	if all := n.pool.start.Add(liveFor); !until.IsZero() && !n.hushed && n.pool.live.Load() && until.Before(all) {
		until = all
	}
	return until
}

// settle returns when the node may be invoked, or the pool ends.
func (n *node) settle() {
	for n.pool.ctx.Err() == nil {
		wait := time.Until(n.quietUntil())
		if wait <= 0 {
			return
		}
		select {
		case <-time.After(wait):
		case <-n.pool.ctx.Done():
		}
	}
}

// brief is the linger of sessions in which nothing is expected to be asked.
var brief = wire.Linger{Stay: time.Millisecond}

func (s *seat) runSession(ctx context.Context, session uint64, cause lifecycle.Cause) (lifecycle.Class, platform.Outcome, error) {
	n := s.n
	cfg := &n.pool.cfg
	secret := wire.Secret(cfg.Key, cfg.Epoch, n.id, session)
	linger := n.pool.linger
	if cause == lifecycle.WarmUp && !cfg.Hold || cause == lifecycle.Backup {
		linger = brief
	}
	inv := &wire.Invocation{
		Protocol: wire.Version, Node: n.id, Epoch: cfg.Epoch, Session: session,
		Secret: secret[:], Proxy: cfg.Address, Linger: linger,
		Capacity: cfg.Capacity, Adopt: cfg.Adopt,
	}
	payload, err := encode(inv, cfg.Identity)
	if err != nil {
		return lifecycle.Denied, platform.Outcome{}, err
	}
	if longest := cfg.Driver.Capabilities().LongestSession; longest > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longest+overrun)
		defer cancel()
	}
	out, err := s.play(ctx, payload)
	if errors.Is(err, errGivesWay) {
		return lifecycle.NotReady, out, nil
	}
	var failed *platform.Error
	if errors.As(err, &failed) {
		out = failed.Outcome
	}
	if err != nil && errors.Is(context.Cause(ctx), errEnough) {
		return lifecycle.OK, out, nil
	}
	if err != nil {
		return classOf(err), out, err
	}
	var ret wire.Return
	if err := json.Unmarshal(out.Payload, &ret); err != nil {
		return lifecycle.OK, out, wire.Errorf(wire.CodeProtocol, "the function answered no return: %v", err)
	}
	if ret.Epoch > cfg.Epoch && cfg.OnFenced != nil {
		cfg.OnFenced(ret.Epoch)
	}
	n.pool.log.Debug("session over", "node", n.id, "session", session, "instance", ret.Instance,
		"reason", ret.Reason, "requests", ret.Requests, "billed", out.Billed)
	return lifecycle.OK, out, nil
}

// errGivesWay is why a node is not invoked whose instance has another one's place: that
// one's session would be the end of what it holds.
var errGivesWay = errors.New("the instance gives way to another one")

// play runs a session. It is the next instance's, unless an older one holds something:
// that one serves until it is its turn to give way.
func (s *seat) play(ctx context.Context, payload []byte) (platform.Outcome, error) {
	n := s.n
	p := n.pool
	if s != n.ordinary() {
		return p.runInvocation(ctx, n.id, payload)
	}
	speaker, reached := n.speaker()
	if !reached && !n.seeks() {
		return p.runInvocation(ctx, n.id, payload)
	}
	next := n.next(ctx)
	if reached && next != "" && next != speaker.String() && !n.deaf(speaker) {
		p.tellReplaced()
		if p.ReleaseInTurn(n.id, speaker) {
			return platform.Outcome{}, errGivesWay
		}
		out, err := p.runInstance(ctx, n.id, speaker, payload)
		if errors.Is(err, platform.NotFound) {
			err = errGivesWay
		}
		return out, err
	}
	if id, unlinked := n.astray(next); unlinked {
		out, err := p.runInstance(ctx, n.id, id, payload)
		if !errors.Is(err, platform.NotFound) {
			return out, err
		}
	}
	return p.runInvocation(ctx, n.id, payload)
}

// encode is an invocation's payload, signed by a proxy that has an identity.
func encode(inv *wire.Invocation, identity *tlslink.Identity) ([]byte, error) {
	if identity == nil {
		return inv.Encode()
	}
	inv.Fingerprint = identity.Fingerprint[:]
	return inv.Sign(identity.Key())
}

// errEnough is why an invocation is given up whose session is not wanted any more.
var errEnough = errors.New("the session is not needed any more")

// classOf is what a platform's failure means to the machine.
func classOf(err error) lifecycle.Class {
	var e *platform.Error
	if !errors.As(err, &e) {
		return lifecycle.Unavailable
	}
	switch {
	case e.Kind == platform.Throttled, e.Kind == platform.Busy:
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
