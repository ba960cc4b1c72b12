package infinicache

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Writer stores what is written to it as one object. The object appears, whole,
// when Close succeeds; until then, and after Abort, the key has what it had. One
// of Close and Abort must be called, or the context be cancelled. A Writer is for
// one goroutine at a time, but for Abort.
type Writer struct {
	pipe *io.PipeWriter
	done chan struct{} // closed when info and err are known
	info Info
	err  error
}

var _ io.WriteCloser = (*Writer)(nil)

// errWriterClosed is what Write gives after Close.
var errWriterClosed = fmt.Errorf("writer: %w", ErrClosed)

// errAborted is the error of a Writer that was told to forget what it got.
var errAborted = errors.New("aborted")

// Writer returns a Writer for key. It does not wait for anything, so errors show
// in Write and Close. Whoever has an io.Reader or all bytes uses Put or PutBytes,
// which copy less and can try again. ctx governs the Writer until it is closed.
func (c *Client) Writer(ctx context.Context, key string, opts ...PutOption) *Writer {
	body, pipe := io.Pipe()
	w := &Writer{pipe: pipe, done: make(chan struct{})}
	store := func() {
		defer close(w.done)
		scope, cancel := c.scope(ctx)
		defer cancel(nil)
		stop := context.AfterFunc(scope, func() { pipe.CloseWithError(context.Cause(scope)) })
		defer stop()
		w.info, w.err = c.Put(scope, key, body, -1, opts...)
		body.CloseWithError(io.ErrClosedPipe) // for Write, which looks at err
	}
	if !c.start(store) {
		w.err = failed("put", key, errClientClosed)
		body.CloseWithError(io.ErrClosedPipe)
		close(w.done)
	}
	return w
}

// Write adds p to the object. It may wait for the cache to take what was written
// before. The error is why the object cannot be stored.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.pipe.Write(p)
	if err == nil {
		return n, nil
	}
	<-w.done // the pipe is closed, so the end is near
	if w.err != nil {
		return n, w.err
	}
	return n, errWriterClosed
}

// Close stores the object. A second Close gives the same answer.
func (w *Writer) Close() error {
	w.pipe.Close()
	<-w.done
	return w.err
}

// Abort forgets what was written, unless Close came first. It is safe to call
// twice, and after Close, where it does nothing.
func (w *Writer) Abort() {
	w.pipe.CloseWithError(errAborted)
	<-w.done
}

// Info describes the stored version once Close has succeeded.
func (w *Writer) Info() Info {
	<-w.done
	return w.info
}
