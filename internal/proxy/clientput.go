package proxy

import (
	"math"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// clientPut is a PUT of a client: an upload with a window.
type clientPut struct {
	c      *client
	stream uint32
	up     *upload

	committing bool // COMMIT came; the link's reader's own

	mu   sync.Mutex
	here int64 // bytes of blocks in the proxy's memory
	owed int64 // bytes that have left and were not given back as CREDIT yet
	over bool  // DONE was sent, or the client gave up
}

// creditStep is how much is owed before CREDIT is sent: a small part of the
// window, so that the client never runs dry, and not every block. What is owed
// below it stays owed, and the rest of the window is large enough to go on with.
const creditStep = wire.PutWindow / 8

// farAway, in milliseconds, is as far as a Duration goes: an expiry beyond it is
// taken for one at it.
const farAway = math.MaxInt64 / int64(time.Millisecond)

// put begins a PUT.
func (c *client) put(stream uint32, m *wire.Put) {
	o := object.PutOptions{
		KeepExpiry: m.KeepExpiry, Condition: object.Condition(m.Condition),
		Shape: object.Shape{Data: int(m.Data), Parity: int(m.Parity)},
	}
	if m.ExpiresIn != 0 {
		o.Expires = time.Now().Add(time.Duration(min(max(m.ExpiresIn, -farAway), farAway)) * time.Millisecond)
	}
	u := &clientPut{c: c, stream: stream}
	if c.p.clients.isDraining() {
		c.done(stream, errGoingDown, 0)
		return
	}
	c.mu.Lock()
	busy := c.puts == nil || len(c.puts) >= maxPuts || c.puts[stream] != nil
	c.mu.Unlock()
	if busy {
		c.done(stream, wire.Errorf(wire.CodeBusy, "a link has at most %d PUTs under way", maxPuts), 0)
		return
	}
	up, err := c.p.beginUpload(m.Key, m.Size, m.Seal, o, u)
	if _, failed := conditionFailed(err); failed {
		c.done(stream, wire.ErrCondition, 0)
		return
	}
	if err != nil {
		c.done(stream, err, 0)
		return
	}
	u.up = up
	c.mu.Lock()
	c.puts[stream] = u
	c.mu.Unlock()
	_ = c.conn.Send(wire.TypePlaced, wire.CodeOK, stream, &wire.Placed{
		Version: up.plan.Version, Data: uint8(up.plan.Shape.Data), Parity: uint8(up.plan.Shape.Parity),
		Stripe: up.plan.Stripe, Window: wire.PutWindow,
	})
}

func (c *client) putOf(stream uint32) *clientPut {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.puts[stream]
}

// stripe begins a stripe of a PUT.
func (c *client) stripe(stream uint32, m *wire.Stripe) {
	if u := c.putOf(stream); u != nil {
		if err := u.up.begin(m.Stripe, m.Length); err != nil {
			u.finish(err, 0)
		}
	}
}

// commit ends a PUT when its stripes are settled.
func (c *client) commit(stream uint32, m *wire.Commit) {
	u := c.putOf(stream)
	if u == nil {
		return
	}
	if u.committing {
		u.finish(wire.Errorf(wire.CodeProtocol, "COMMIT twice"), 0)
		return
	}
	u.committing = true
	commit := *m
	begun := c.p.work.Go(func() {
		res, err := u.up.commit(c.ctx, commit.Size, commit.Stripes)
		switch {
		case err != nil:
			u.finish(err, 0)
		case res.Stored:
			u.finish(nil, 1)
		default:
			u.finish(wire.ErrCondition, 0)
		}
	})
	if !begun {
		u.finish(wire.ErrClosed, 0)
	}
}

// admit books a block that is about to be read; false if the PUT is over or the
// client sends more than its window.
func (u *clientPut) admit(n int) bool {
	u.mu.Lock()
	if u.over {
		u.mu.Unlock()
		return false
	}
	if u.here+u.owed+int64(n) > wire.PutWindow {
		u.mu.Unlock()
		u.finish(wire.Errorf(wire.CodeProtocol, "more than the window of %d bytes", wire.PutWindow), 0)
		return false
	}
	u.here += int64(n)
	u.mu.Unlock()
	// Nothing more of this client is read while its share of the budget is used
	// up, which ends: its blocks leave for nodes, or the nodes are given up.
	if u.c.share.take(u.c.ctx, int64(n)) != nil {
		return false
	}
	return true
}

// sent gives a block's bytes back to the window when they have left.
func (u *clientPut) sent(n int) {
	u.c.share.give(int64(n))
	u.mu.Lock()
	u.here -= int64(n)
	u.owed += int64(n)
	var credit int64
	if u.owed >= creditStep && !u.over {
		credit, u.owed = u.owed, 0
	}
	u.mu.Unlock()
	if credit > 0 {
		_ = u.c.conn.Send(wire.TypeCredit, wire.CodeOK, u.stream, &wire.Credit{Bytes: uint32(credit)})
	}
}

// finish ends the PUT with DONE, once, and gives the version up if there is an
// error.
func (u *clientPut) finish(err error, value uint64) {
	if err != nil {
		u.up.abort(err)
	}
	u.end(err, value)
}

// end says DONE, once.
func (u *clientPut) end(err error, value uint64) {
	u.mu.Lock()
	first := !u.over
	u.over = true
	u.mu.Unlock()
	if !first {
		return
	}
	u.c.mu.Lock()
	delete(u.c.puts, u.stream)
	u.c.settleLocked()
	u.c.mu.Unlock()
	u.c.done(u.stream, err, value)
}

// stored implements uploadListener.
func (u *clientPut) stored(stripe uint32) {
	_ = u.c.conn.Send(wire.TypeStored, wire.CodeOK, u.stream, &wire.Place{Stripe: stripe})
}

// resend implements uploadListener.
func (u *clientPut) resend(stripe uint32, chunk uint16) {
	_ = u.c.conn.Send(wire.TypeResend, wire.CodeOK, u.stream, &wire.Place{Stripe: stripe, Chunk: chunk})
}

// failed implements uploadListener.
func (u *clientPut) failed(err error) { u.end(err, 0) }
