package infinicache

import (
	"context"
	"sync"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// upload is a new version on its way to the proxy. It implements stripe.Target.
type upload struct {
	conn   *connection
	stream uint32

	placed chan struct{} // closed when plan is known
	over   chan struct{} // closed when nothing more can come of it
	events chan stripe.Event

	mu        sync.Mutex
	plan      stripe.Plan // its Version is 0 until PLACED
	window    int64       // bytes of blocks that may be under way
	room      int64       // what is left of them
	roomier   chan struct{}
	begun     uint32
	unsettled map[uint32]struct{} // stripes begun that are not stored yet
	size      int64               // of the object, from Commit
	committed bool                // COMMIT was sent
	ended     bool
	stored    bool
	err       error
}

// maxEvents is how many events may wait for the engine, which never lets many
// wait. A proxy that sends more asks for the same chunks time and again.
const maxEvents = 1 << 8

// upload asks the proxy to take a new version and waits for its plan.
func (c *connection) upload(ctx context.Context, m *wire.Put) (*upload, error) {
	u := &upload{
		conn:   c,
		placed: make(chan struct{}), over: make(chan struct{}),
		events:    make(chan stripe.Event, maxEvents),
		unsettled: make(map[uint32]struct{}),
	}
	id, err := c.begin(u, wire.TypePut, m)
	if err != nil {
		return nil, err
	}
	u.stream = id
	select {
	case <-u.placed:
		return u, nil
	case <-u.over:
		return nil, u.Err()
	case <-ctx.Done():
		u.Abort()
		return nil, context.Cause(ctx)
	}
}

// Plan implements stripe.Target.
func (u *upload) Plan() stripe.Plan { return u.plan }

// Begin implements stripe.Target.
func (u *upload) Begin(_ context.Context, index uint32, length int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return u.reason()
	}
	u.begun = index + 1
	u.unsettled[index] = struct{}{}
	return u.send(wire.TypeStripe, &wire.Stripe{Stripe: index, Length: length})
}

// send queues a frame of the exchange.
func (u *upload) send(t wire.Type, m wire.Message) error {
	if err := u.conn.link.Send(t, wire.CodeOK, u.stream, m); err != nil {
		return &linkError{u.conn.addr, err}
	}
	return nil
}

// Block implements stripe.Target.
func (u *upload) Block(ctx context.Context, b wire.Block, body []byte, owner stripe.Releaser) error {
	if err := u.spend(ctx, int64(len(body))); err != nil {
		owner.Release()
		return err
	}
	if err := u.conn.link.SendBlock(u.stream, b, body, nil, owner); err != nil {
		return &linkError{u.conn.addr, err}
	}
	return nil
}

// spend waits until n more bytes may be under way.
func (u *upload) spend(ctx context.Context, n int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for !u.ended && u.room < n {
		if u.roomier == nil {
			u.roomier = make(chan struct{})
		}
		roomier := u.roomier
		u.mu.Unlock()
		select {
		case <-roomier:
		case <-ctx.Done():
		}
		u.mu.Lock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if u.ended {
		return u.reason()
	}
	u.room -= n
	return nil
}

// Events implements stripe.Target.
func (u *upload) Events() <-chan stripe.Event { return u.events }

// Commit implements stripe.Target.
func (u *upload) Commit(ctx context.Context, size int64, stripes uint32) (object.PutResult, error) {
	u.mu.Lock()
	err := u.err
	if !u.ended {
		err = u.send(wire.TypeCommit, &wire.Commit{Size: size, Stripes: stripes})
		u.size, u.committed = size, true
	}
	u.mu.Unlock()
	if err != nil {
		return object.PutResult{}, err
	}
	select {
	case <-u.over:
	case <-ctx.Done():
		u.Abort()
		return object.PutResult{}, context.Cause(ctx)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return object.PutResult{Stored: u.stored}, u.err
}

// Abort implements stripe.Target.
func (u *upload) Abort() {
	if u.end(wire.ErrCanceled) {
		u.conn.forget(u.stream)
		u.conn.link.Send(wire.TypeCancel, wire.CodeOK, u.stream, nil)
	}
}

// Err implements stripe.Target.
func (u *upload) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// reason is why nothing may be sent any more. u.mu is held.
func (u *upload) reason() error {
	if u.err == nil {
		return wire.ErrClosed
	}
	return u.err
}

// inDoubt tells whether the version may have been committed without a word of the
// proxy.
func (u *upload) inDoubt() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.committed && u.err != nil
}

// end says that nothing more can come. It is false if it was so before.
func (u *upload) end(err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return false
	}
	u.ended, u.err = true, err
	close(u.events)
	close(u.over)
	u.widen()
	return true
}

// widen wakes those who wait for room. u.mu is held.
func (u *upload) widen() {
	if u.roomier != nil {
		close(u.roomier)
		u.roomier = nil
	}
}

func (u *upload) frame(h wire.Header, meta []byte) (bool, error) {
	if h.Type == wire.TypeDone {
		return true, u.finish(h, meta)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return true, nil
	}
	if (h.Type == wire.TypePlaced) != (u.plan.Version == 0) {
		return false, unexpected(h)
	}
	switch h.Type {
	case wire.TypePlaced:
		return false, u.place(meta)
	case wire.TypeCredit:
		return false, u.credit(meta)
	case wire.TypeStored, wire.TypeResend:
		return false, u.event(h, meta)
	default:
		return false, unexpected(h)
	}
}

// place takes the proxy's plan. u.mu is held.
func (u *upload) place(meta []byte) error {
	var m wire.Placed
	if err := m.Decode(meta); err != nil {
		return err
	}
	u.plan = stripe.Plan{
		Version: m.Version, Stripe: m.Stripe,
		Shape: object.Shape{Data: int(m.Data), Parity: int(m.Parity)},
	}
	u.window, u.room = int64(m.Window), int64(m.Window)
	close(u.placed)
	return nil
}

// credit gives room back. u.mu is held.
func (u *upload) credit(meta []byte) error {
	var m wire.Credit
	if err := m.Decode(meta); err != nil {
		return err
	}
	u.room += int64(m.Bytes)
	if u.room > u.window {
		return wire.Errorf(wire.CodeProtocol, "CREDIT for %d bytes more than were sent", u.room-u.window)
	}
	u.widen()
	return nil
}

// event passes on what became of a stripe. u.mu is held.
func (u *upload) event(h wire.Header, meta []byte) error {
	var m wire.Place
	if err := m.Decode(meta); err != nil {
		return err
	}
	if _, ok := u.unsettled[m.Stripe]; !ok || int(m.Chunk) >= u.plan.Shape.Data+u.plan.Shape.Parity {
		return wire.Errorf(wire.CodeProtocol, "%v of chunk %d of stripe %d, which is not under way", h.Type, m.Chunk, m.Stripe)
	}
	if h.Type == wire.TypeStored {
		delete(u.unsettled, m.Stripe)
	}
	select {
	case u.events <- stripe.Event{Stripe: m.Stripe, Resend: h.Type == wire.TypeResend, Chunk: m.Chunk}:
		return nil
	default:
		return wire.Errorf(wire.CodeProtocol, "%d events of a PUT wait", maxEvents)
	}
}

// finish takes the proxy's last word.
func (u *upload) finish(h wire.Header, meta []byte) error {
	var d wire.Done
	if err := d.Decode(meta); err != nil {
		return err
	}
	u.mu.Lock()
	committed := u.committed
	u.stored = h.Code == wire.CodeOK && d.Value != 0
	// A refusal is the proxy's word: the outcome is known.
	u.committed = u.committed && h.Code == wire.CodeOK
	u.mu.Unlock()
	if h.Code == wire.CodeOK && !committed {
		return unexpected(h)
	}
	u.end(d.Err(h.Code))
	return nil
}

func (u *upload) broken(err error) { u.end(err) }

func (u *upload) awaits() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.plan.Version == 0 || u.committed || len(u.unsettled) > 0
}
