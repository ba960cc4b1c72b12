package stripe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// WriterOptions are the ways in which a write may differ from the default. The
// zero value is ready, but the writers of a pool should share Buffers and Codes.
type WriterOptions struct {
	// Buffers bounds the memory; nil: no limit.
	Buffers *Buffers
	// Codes remembers coding matrices; nil: one of this write alone.
	Codes *erasure.Codes
}

// inFlight is how many stripes of one object hold memory at a time.
const inFlight = 2

// Write stores size bytes of body as the target's new version; size -1 means all
// that body has. It reads no further than size. A body that ends early gives
// an error that matches wire.ErrShort, other errors are those of body, of target,
// or what ctx was cancelled with; the version is aborted then. A call of body.Read
// is not interrupted when ctx ends.
//
// Stripes are read into memory from the Buffers, and up to two are under way.
func Write(ctx context.Context, target Target, body io.Reader, size int64, opts WriterOptions) (object.PutResult, error) {
	w := newWriter(ctx, target, opts)
	return w.run(ctx, &streamBody{r: body, size: max(size, -1)})
}

// WriteBytes is Write of body, without a copy of it: blocks are sent from the
// caller's memory. It returns when the target has released all of them; body must
// not change until then.
func WriteBytes(ctx context.Context, target Target, body []byte, opts WriterOptions) (object.PutResult, error) {
	w := newWriter(ctx, target, opts)
	res, err := w.run(ctx, &sliceBody{rest: body, size: int64(len(body))})
	for range inFlight {
		w.slots <- struct{}{} // free again only when every block is released
	}
	return res, err
}

// writer is one write under way. The caller's goroutine fills, codes and sends
// stripes; another serves the target's events.
type writer struct {
	target  Target
	plan    Plan
	code    *erasure.Code
	buffers *Buffers
	codes   *erasure.Codes

	ctx    context.Context // of sending; ends with the write
	cancel context.CancelCauseFunc
	slots  chan struct{} // one element per stripe in flight
	tasks  sync.WaitGroup
	done   chan struct{} // closed: no more events are served

	mu        sync.Mutex
	live      [inFlight]*outgoing
	abandoned error // why the write was given up from within

	// Of the caller's goroutine: one column, by chunk.
	column [][]byte
}

func newWriter(ctx context.Context, target Target, opts WriterOptions) *writer {
	w := &writer{target: target, plan: target.Plan(), buffers: opts.Buffers, codes: opts.Codes,
		slots: make(chan struct{}, inFlight), done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	return w
}

func (w *writer) run(ctx context.Context, body body) (object.PutResult, error) {
	res, err := w.write(ctx, body)
	if err != nil {
		w.target.Abort()
	}
	w.cancel(wire.ErrClosed)
	close(w.done)
	w.tasks.Wait()
	w.settleAll()
	return res, err
}

// write sends all stripes and commits.
func (w *writer) write(ctx context.Context, body body) (object.PutResult, error) {
	var none object.PutResult
	if err := w.prepare(body.length()); err != nil {
		return none, err
	}
	w.tasks.Go(w.serve)
	var size int64
	var stripes uint32
	for more := true; more; {
		var o *outgoing
		var err error
		if o, more, err = w.fill(body, stripes, size); err != nil {
			return none, w.explain(err)
		}
		if o == nil {
			break
		}
		size += o.layout.Length()
		stripes++
		err = w.send(o)
		o.Release() // the reference of the one who sends
		if err != nil {
			return none, w.explain(err)
		}
	}
	res, err := w.target.Commit(ctx, size, stripes)
	if err != nil {
		return none, w.explain(err)
	}
	return res, nil
}

// explain prefers the reason why the write was stopped to the error that this
// gave.
func (w *writer) explain(err error) error {
	w.mu.Lock()
	abandoned := w.abandoned
	w.mu.Unlock()
	switch {
	case abandoned != nil:
		return abandoned
	case w.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return context.Cause(w.ctx)
	default:
		return err
	}
}

// prepare checks the target's plan.
func (w *writer) prepare(size int64) error {
	shape := w.plan.Shape
	if size < 0 { // as much as there may be
		size = wire.MaxObject
		if w.plan.Stripe <= wire.MaxChunkSize {
			size = min(size, max(w.plan.Stripe, 0)*(1<<32-1))
		}
	}
	if err := checkCut(size, w.plan.Stripe, shape.Data, shape.Parity); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if w.codes == nil {
		w.codes = new(erasure.Codes)
	}
	var err error
	if w.code, err = w.codes.Get(shape.Data, shape.Parity); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	w.column = make([][]byte, shape.Data+shape.Parity)
	return nil
}

// fill waits for a place in flight and for memory and reads a stripe, which then
// is live and referenced by its sender. more is false after the last one; a nil
// stripe means that there was none left.
func (w *writer) fill(body body, index uint32, at int64) (o *outgoing, more bool, err error) {
	room := body.room(w.plan.Stripe)
	if room == 0 {
		return nil, false, nil
	}
	if at+room > wire.MaxObject && body.length() < 0 || index == 1<<32-1 {
		return nil, false, fmt.Errorf("%w: more than %d bytes", wire.ErrTooLarge, at)
	}
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return nil, false, context.Cause(w.ctx)
	}
	o = &outgoing{w: w, index: index}
	defer func() {
		if o == nil || err != nil {
			<-w.slots
		}
	}()
	parity := 0
	shape := w.plan.Shape
	if shape.Data > 1 { // else parity chunks are the data chunk itself
		parity = shape.Parity * erasure.NewLayout(room, shape.Data, shape.Parity).ChunkSize()
	}
	own := int(room)
	if body.borrowed() {
		own = 0
	}
	mem, err := w.buffers.acquire(w.ctx, own+parity)
	if err != nil {
		return nil, false, err
	}
	data, more, err := body.read(mem[:own])
	if err == nil && len(data) == 0 {
		w.buffers.release(mem, true)
		return nil, false, nil
	}
	if err != nil {
		w.buffers.release(mem, true)
		return nil, false, err
	}
	o.mem, o.data = mem, data
	o.layout = erasure.NewLayout(int64(len(data)), shape.Data, shape.Parity)
	if shape.Data > 1 {
		o.parity = mem[own : own+shape.Parity*o.layout.ChunkSize()]
	}
	o.refs.Store(2) // the sender, and that it is not settled
	w.mu.Lock()
	for i := range w.live {
		if w.live[i] == nil {
			w.live[i] = o
			break
		}
	}
	w.mu.Unlock()
	return o, more, nil
}

// send begins a stripe and codes and sends it column by column: while the blocks of one are
// under way the next is coded, and its bytes pass through the cache once.
func (w *writer) send(o *outgoing) error {
	if err := w.target.Begin(w.ctx, o.index, o.layout.Length()); err != nil {
		return err
	}
	d := o.layout.Data()
	columns := blocksOf(int64(o.layout.ChunkSize()))
	for j := range columns {
		for c := range w.column {
			w.column[c] = o.block(c, j)
		}
		if o.parity != nil {
			if err := w.code.Encode(w.column[:d], w.column[d:]); err != nil {
				return fmt.Errorf("stripe %d: %w: %w", o.index, wire.ErrInternal, err)
			}
		}
		o.coded.Store(j + 1)
		for c, body := range w.column {
			if len(body) == 0 {
				continue
			}
			if err := o.sendBlock(w.ctx, c, j, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// serve follows the target's events until the write is over. It never waits for
// the target, so that the target may wait for it.
func (w *writer) serve() {
	events := w.target.Events()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				err := w.target.Err()
				if err == nil {
					err = wire.ErrClosed
				}
				w.cancel(fmt.Errorf("write ended by its target: %w", err))
				return
			}
			w.event(e)
		case <-w.done:
			return
		}
	}
}

func (w *writer) event(e Event) {
	var settled *outgoing
	w.mu.Lock()
	for _, o := range w.live {
		switch {
		case o == nil || o.index != e.Stripe || o.settled:
		case !e.Resend:
			o.settled = true
			settled = o
		case int(e.Chunk) < o.layout.Chunks():
			o.resend(e.Chunk)
		}
	}
	w.mu.Unlock()
	if settled != nil {
		settled.Release()
	}
}

// settleAll drops what keeps stripes alive that nobody will settle any more.
func (w *writer) settleAll() {
	w.mu.Lock()
	live := w.live
	for i, o := range live {
		if o == nil || o.settled {
			live[i] = nil
			continue
		}
		o.settled = true
	}
	w.mu.Unlock()
	for _, o := range live {
		if o != nil {
			o.Release()
		}
	}
}
