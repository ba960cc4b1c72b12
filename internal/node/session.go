package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// session is one invocation.
type session struct {
	inv      *wire.Invocation
	requests uint64                // received
	returned chan lifecycle.Reason // capacity 1
	over     chan struct{}         // closed when Invoke returns
	call     func(wire.Call)       // has the proxy dial the instance
}

// Invoke plays one session: payload is a wire.Invocation, the answer a
// wire.Return. It returns when the session is over: nothing runs any more then,
// and what the platform freezes is at rest. The deadline of ctx is the
// platform's limit, before which the session ends itself.
//
// The error is about the payload, and then no session took place.
func (n *Node) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return n.InvokeCalling(ctx, payload, nil)
}

// InvokeCalling is Invoke where the proxy may dial the instance: call has to tell it
// to, each time, and must not block. It is used only if the invocation names no
// proxy to dial and Serve runs.
func (n *Node) InvokeCalling(ctx context.Context, payload []byte, call func(wire.Call)) ([]byte, error) {
	inv, err := wire.DecodeInvocation(payload)
	if err != nil {
		return nil, err
	}
	if inv.Proxy == "" && (call == nil || n.cfg.Address == "") {
		return nil, wire.Errorf(wire.CodeRequest, "invoked without the address of a proxy, and no proxy can dial this instance")
	}
	s := &session{inv: inv, returned: make(chan lifecycle.Reason, 1), over: make(chan struct{}), call: call}
	defer close(s.over)
	refused, err := n.begin(s, timeLeft(ctx))
	switch {
	case err != nil:
		return nil, err
	case refused != nil:
		return n.answer(s, *refused)
	}
	return n.answer(s, n.end(ctx, s))
}

// timeLeft is the time until the deadline of ctx, 0 if it has none.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	if d := time.Until(deadline); d != 0 {
		return d
	}
	return -1
}

// begin offers a session to the machine. refused is why it is not accepted.
func (n *Node) begin(s *session, left time.Duration) (refused *lifecycle.Reason, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	another := n.cfg.Loyal && n.store != nil && !bytes.Equal(n.signer, s.inv.Signer)
	if another && n.store.Len() > 0 {
		return nil, wire.Errorf(wire.CodeDenied, "invoked by another proxy than the one whose chunks this instance holds")
	}
	if another {
		// What a stranger left behind, a high epoch or little capacity, must not
		// keep the instance from its proxy.
		n.machine.Forget()
	}
	fresh, err := n.freshStore(s.inv, another)
	if err != nil {
		return nil, err
	}
	acts := n.machine.Step(n.now(), lifecycle.Event{
		Kind:    lifecycle.OnInvoked,
		Session: s.inv.Session,
		Epoch:   s.inv.Epoch,
		Terms:   lifecycle.Terms{Left: left, Linger: s.inv.Linger},
	}, n.acts[:0])
	if last := acts[len(acts)-1]; last.Kind == lifecycle.DoReturn {
		if fresh != nil {
			_ = fresh.Close() // nothing is in it
		}
		return &last.Reason, nil
	}
	n.session, n.signer = s, s.inv.Signer
	if fresh != nil {
		n.replace(fresh, s.inv.Node)
	}
	n.carryOut(acts)
	n.settle()
	return nil, nil
}

// freshStore is an empty store if the session needs one: the first, and one of
// a later epoch, unless that adopts what is held, one of another proxy, and one as
// another node; nil if not.
func (n *Node) freshStore(inv *wire.Invocation, another bool) (*store.Store, error) {
	later := inv.Epoch > n.machine.Epoch()
	if n.store != nil && !another && !(later && !inv.Adopt) {
		if inv.Node != n.node && n.store.Len() > 0 {
			return nil, wire.Errorf(wire.CodeRequest, "invoked as node %d, but this instance holds chunks of node %d", inv.Node, n.node)
		}
		if inv.Node == n.node {
			return nil, nil
		}
	}
	return n.newStore(inv)
}

// drop empties the instance because its proxy does not know what it holds.
func (n *Node) drop() error {
	fresh, err := n.newStore(n.session.inv)
	if err == nil {
		n.replace(fresh, n.node)
	}
	return err
}

// newStore makes an empty store of the capacity that an invocation asks for and
// the memory allows.
func (n *Node) newStore(inv *wire.Invocation) (*store.Store, error) {
	capacity := inv.Capacity
	if own := store.CapacityOf(n.cfg.Memory); n.cfg.Memory > 0 && (capacity == 0 || own < capacity) {
		capacity = own
	}
	s, err := store.New(min(capacity, store.MaxCapacity))
	if err != nil {
		return nil, fmt.Errorf("%w (the invocation asked for %d, the function has %d bytes of memory)", err, inv.Capacity, n.cfg.Memory)
	}
	return s, nil
}

// replace takes an empty store into use. Chunks of the old one that are still
// being written to a link stay until that is over.
func (n *Node) replace(fresh *store.Store, node uint32) {
	if n.store != nil {
		n.log.Info("chunks dropped", "chunks", n.store.Len(), "bytes", n.store.Used())
		n.history.emptied()
		_ = n.store.Close() // munmap of the store's own mapping cannot fail
	}
	n.store, n.node = fresh, node
}

// end waits until the session is over and everything it left is at rest.
func (n *Node) end(ctx context.Context, s *session) lifecycle.Reason {
	var reason lifecycle.Reason
	select {
	case reason = <-s.returned:
	case <-ctx.Done():
		n.cutShort(s)
		reason = <-s.returned
	}
	chunks, links, listing := n.left()
	for _, l := range links {
		<-l.over
	}
	if reason == lifecycle.Deadline || reason == lifecycle.Notice {
		return reason // there is no time to tidy up
	}
	if listing != nil {
		<-listing.ended
	}
	if err := chunks.Trim(); err != nil {
		n.log.Warn("memory not given back", "err", err)
	}
	return reason
}

// cutShort ends a session that the platform does not wait for any longer.
func (n *Node) cutShort(s *session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(s.returned) == 0 {
		n.step(lifecycle.Event{Kind: lifecycle.OnCut})
	}
}

// left is what a session leaves behind: the chunks, links that were closed and
// have not ended, and a list that was given up, whose goroutine has not ended.
func (n *Node) left() (chunks *store.Store, parting []*proxyLink, dropped *listing) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		if l.number != n.machine.Link() {
			parting = append(parting, l)
		}
	}
	if n.listing != nil && n.listing.over {
		dropped = n.listing
	}
	return n.store, parting, dropped
}

// answer is what the invocation returns.
func (n *Node) answer(s *session, reason lifecycle.Reason) ([]byte, error) {
	n.mu.Lock()
	r := wire.Return{
		Session:  s.inv.Session,
		Epoch:    n.machine.Epoch(),
		Instance: n.instance,
		Reason:   reason.String(),
		Requests: s.requests,
	}
	if n.store != nil {
		r.Chunks, r.Used = n.store.Len(), n.store.Used()
	}
	n.mu.Unlock()
	n.log.Debug("session ends", "session", r.Session, "reason", r.Reason,
		"requests", r.Requests, "chunks", r.Chunks, "bytes", r.Used)
	return json.Marshal(r)
}
