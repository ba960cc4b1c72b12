package infinicache

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/infinicache/infinicache/internal/stripe"
)

// Object is one version of an object, open for reading: as a stream, by Read or
// WriteTo, and at any place, by ReadAt. Whatever is stored under the key
// meanwhile, it reads this version. It must be closed.
//
// The next stripes are fetched while one is consumed. A stream that fails gives
// no wrong byte before its error. If too many chunks of a stripe are gone the
// error matches ErrLost or another of the errors of this package, but not
// ErrNotFound: once a stream has begun, the end of it is not a miss.
type Object struct {
	info   Info
	fetch  *fetch
	ctx    context.Context // of Get: there is none in Read and its kind
	cancel context.CancelCauseFunc

	parts chan []byte   // from pump: verified bytes, lent until they are taken
	taken chan struct{} // to pump
	over  chan struct{} // pump has ended, with pumped
	// pumped is why pump ended; nil at the end of the object. It is read when
	// over is closed.
	pumped error

	turn chan struct{} // capacity 1: one Read, WriteTo or Close at a time
	rest []byte        // what remains of a part
	err  error         // of the stream, io.EOF included

	closed bool
}

var (
	_ io.ReadCloser = (*Object)(nil)
	_ io.WriterTo   = (*Object)(nil)
	_ io.ReaderAt   = (*Object)(nil)
)

// errObjectClosed is what reads give during and after Close.
var errObjectClosed = fmt.Errorf("object: %w", ErrClosed)

// Get opens the newest version of key. It returns when the first bytes have
// arrived, so that an object that is gone is a miss, ErrNotFound, here and not
// later. ctx governs the Object until it is closed, not Get alone.
//
// If the link breaks while the Object is read, it is opened again and goes on
// where it was, provided that the version still stands; else ErrChanged.
func (c *Client) Get(ctx context.Context, key string, opts ...GetOption) (*Object, error) {
	o, err := c.get(ctx, key, opts)
	if err != nil {
		return nil, failed("get", key, err)
	}
	return o, nil
}

func (c *Client) get(ctx context.Context, key string, opts []GetOption) (*Object, error) {
	options, err := c.getOptions(opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.scope(ctx)
	f, err := c.fetch(ctx, key, options)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	o := &Object{
		fetch: f, ctx: ctx, cancel: cancel,
		parts: make(chan []byte), taken: make(chan struct{}), over: make(chan struct{}),
		turn: make(chan struct{}, 1),
	}
	go o.pump(ctx)
	if err := o.next(); err != nil && err != io.EOF {
		cancel(nil)
		f.release(err)
		return nil, asMiss(err)
	}
	o.info = infoOf(f.current(true).opened)
	return o, nil
}

// pump reads the object and hands its bytes over, until all are taken or the
// context ends.
func (o *Object) pump(ctx context.Context) {
	defer close(o.over)
	var done int64 // bytes handed over
	o.pumped = o.fetch.run(ctx, func(r *stripe.Reader, _ *connection) (int64, error) {
		lo, hi := o.fetch.opts.span(r.Info().Size)
		n, err := r.WriteRange(ctx, handover{o, ctx}, lo+done, hi-lo-done)
		done += n
		return n, err
	})
}

// handover is the end of pump that writes.
type handover struct {
	o   *Object
	ctx context.Context
}

// Write lends p to the consumer. It returns when that has taken it.
func (h handover) Write(p []byte) (int, error) {
	h.o.fetch.current(true)
	select {
	case h.o.parts <- p:
		<-h.o.taken
		return len(p), nil
	case <-h.ctx.Done():
		return 0, context.Cause(h.ctx)
	}
}

// next borrows the next part. The error, io.EOF at the end, is the stream's from
// then on.
func (o *Object) next() error {
	if o.err != nil {
		return o.err
	}
	select {
	case o.rest = <-o.parts:
		return nil
	case <-o.over:
	}
	o.err = o.pumped
	if o.err == nil {
		o.err = io.EOF
	}
	return o.err
}

// take says that n more bytes of the part are not needed any more.
func (o *Object) take(n int) {
	if o.rest = o.rest[n:]; len(o.rest) == 0 {
		o.rest = nil
		o.taken <- struct{}{}
	}
}

// takeTurn waits for the call that is under way, and returns the call's end.
func (o *Object) takeTurn() (end func()) {
	o.turn <- struct{}{}
	return func() { <-o.turn }
}

// Info describes the version.
func (o *Object) Info() Info { return o.info }

// Read reads the next bytes of the stream.
func (o *Object) Read(p []byte) (int, error) {
	defer o.takeTurn()()
	if len(p) == 0 {
		return 0, nil
	}
	if o.rest == nil {
		if err := o.next(); err != nil {
			return 0, o.explain(err)
		}
	}
	n := copy(p, o.rest)
	o.take(n)
	return n, nil
}

// WriteTo writes what remains of the stream to w, straight from the memory where
// it was put together. io.Copy calls it.
func (o *Object) WriteTo(w io.Writer) (int64, error) {
	defer o.takeTurn()()
	var written int64
	for {
		if o.rest == nil {
			if err := o.next(); err != nil {
				if err == io.EOF {
					return written, nil
				}
				return written, o.explain(err)
			}
		}
		want := len(o.rest)
		n, err := w.Write(o.rest)
		n = min(max(n, 0), want)
		written += int64(n)
		o.take(n)
		switch {
		case err != nil:
			return written, err
		case n < want:
			return written, io.ErrShortWrite
		}
	}
}

// ReadAt reads from offset off of the object; a Range does not move or bound it.
// It does not disturb the stream, and several may be under way at once.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, failed("read", o.info.Key, fmt.Errorf("%w: offset %d", ErrRequest, off))
	}
	if off >= o.info.Size {
		return 0, io.EOF
	}
	n := 0
	err := o.fetch.run(o.ctx, func(r *stripe.Reader, conn *connection) (int64, error) {
		defer guard(o.ctx, conn)()
		k, err := r.ReadInto(o.ctx, p[n:], off+int64(n))
		n += k
		return int64(k), err
	})
	if err == nil && n < len(p) {
		return n, io.EOF
	}
	return n, failed("read", o.info.Key, err)
}

// explain makes the error of a stream that of a call.
func (o *Object) explain(err error) error {
	if err == io.EOF {
		return err
	}
	return failed("read", o.info.Key, err)
}

// Close lets go of the version. It waits for a call that is under way, which
// ends early unless it is in the Write of an io.Writer. It is safe to call twice,
// and its error is always nil.
func (o *Object) Close() error {
	o.cancel(errObjectClosed)
	defer o.takeTurn()()
	if o.closed {
		return nil
	}
	o.closed = true
	if o.rest != nil {
		o.take(len(o.rest))
	}
	<-o.over
	if o.pumped == nil || errors.Is(o.pumped, errObjectClosed) {
		o.fetch.release(nil)
	} else {
		o.fetch.release(o.pumped)
	}
	o.err = errObjectClosed
	return nil
}
