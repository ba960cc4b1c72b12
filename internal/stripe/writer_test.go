package stripe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func pause() <-chan time.Time { return time.After(time.Millisecond) }

// checkStored compares what a target took with the object coded directly.
func checkStored(t *testing.T, target *fakeTarget, want []byte) {
	t.Helper()
	target.wg.Wait()
	if target.wrong != nil {
		t.Error(target.wrong)
	}
	if target.committed != int64(len(want)) || target.aborted || target.under != 0 {
		t.Errorf("committed %d bytes, aborted %v, %d blocks not released; want %d, false, 0",
			target.committed, target.aborted, target.under, len(want))
	}
	s := store(t, want, target.plan.Shape, target.plan.Stripe)
	for i, chunks := range s.stripes {
		for c, body := range chunks {
			if !bytes.Equal(target.chunk(uint32(i), c), body) {
				t.Errorf("stripe %d: chunk %d is wrong", i, c)
			}
		}
	}
}

func checkAborted(t *testing.T, target *fakeTarget, bufs *Buffers) {
	t.Helper()
	target.wg.Wait()
	if target.committed >= 0 || !target.aborted || target.under != 0 {
		t.Errorf("committed %d, aborted %v, %d blocks not released", target.committed, target.aborted, target.under)
	}
	if bufs.InUse() != 0 {
		t.Errorf("%d bytes in use", bufs.InUse())
	}
}

func TestWriteSizesAndShapes(t *testing.T) {
	for _, shape := range shapes {
		for _, size := range []int{0, 1, shape.Data - 1, 1024, block - 1, block, block + 1, testStripe - 1, testStripe, testStripe + 1, 3*testStripe + testStripe/2} {
			synctest.Test(t, func(t *testing.T) {
				body := randomBytes(size)
				opts := WriterOptions{Buffers: NewBuffers(8 << 20)}
				for name, write := range map[string]func(Target) (object.PutResult, error){
					"known": func(g Target) (object.PutResult, error) {
						return Write(t.Context(), g, bytes.NewReader(body), int64(size), opts)
					},
					"more": func(g Target) (object.PutResult, error) {
						return Write(t.Context(), g, io.MultiReader(bytes.NewReader(body), bytes.NewReader(body)), int64(size), opts)
					},
					"unknown": func(g Target) (object.PutResult, error) {
						return Write(t.Context(), g, bytes.NewReader(body), -1, opts)
					},
					"dataerr": func(g Target) (object.PutResult, error) {
						return Write(t.Context(), g, iotest.DataErrReader(bytes.NewReader(body)), -1, opts)
					},
					"bytes": func(g Target) (object.PutResult, error) { return WriteBytes(t.Context(), g, body, opts) },
				} {
					target := newFakeTarget(shape, testStripe, int64(size)).start()
					res, err := write(target)
					if err != nil || !res.Stored {
						t.Fatalf("%d+%d, %d bytes, %s: %+v, %v", shape.Data, shape.Parity, size, name, res, err)
					}
					checkStored(t, target, body)
				}
				if n := opts.Buffers.InUse(); n != 0 {
					t.Errorf("%d bytes in use", n)
				}
			})
		}
	}
}

func TestWriteSendsAgain(t *testing.T) {
	for _, shape := range []object.Shape{{Data: 1, Parity: 1}, {Data: 4, Parity: 2}} {
		for stripe := range uint32(3) {
			for _, chunk := range []int{0, shape.Data - 1, shape.Data} {
				synctest.Test(t, func(t *testing.T) {
					body := randomBytes(2*testStripe + 100)
					for range 2 {
						target := newFakeTarget(shape, testStripe, int64(len(body)))
						target.resend = map[wire.Place]int{{Stripe: stripe, Chunk: uint16(chunk)}: 2, {Stripe: 0, Chunk: 0}: 1}
						target.start()
						bufs := NewBuffers(8 << 20)
						if _, err := Write(t.Context(), target, bytes.NewReader(body), -1, WriterOptions{Buffers: bufs}); err != nil {
							t.Fatal(err)
						}
						checkStored(t, target, body)
						if target.resent == 0 || bufs.InUse() != 0 {
							t.Errorf("%d resends, %d bytes in use", target.resent, bufs.InUse())
						}
					}
				})
			}
		}
	}
}

type endlessBody struct{}

func (endlessBody) Read(p []byte) (int, error) { return len(p), nil }

func TestWriteFails(t *testing.T) {
	wantErr := errors.New("the cable is cut")
	shape := object.Shape{Data: 4, Parity: 2}
	full := randomBytes(4 * testStripe)
	for _, tt := range []struct {
		name string
		set  func(*fakeTarget)
		body io.Reader
		size int64
		want error
	}{
		{name: "short", body: bytes.NewReader(full[:len(full)-1]), size: int64(len(full)), want: wire.ErrShort},
		{name: "short at a stripe's end", body: iotest.DataErrReader(bytes.NewReader(full[:testStripe])), size: int64(len(full)), want: wire.ErrShort},
		{name: "empty", body: bytes.NewReader(nil), size: 5, want: wire.ErrShort},
		{name: "body error", body: io.MultiReader(bytes.NewReader(full[:testStripe+9]), iotest.ErrReader(wantErr)), size: -1, want: wantErr},
		{name: "cut off", body: io.MultiReader(bytes.NewReader(full[:testStripe+9]), iotest.ErrReader(io.ErrUnexpectedEOF)), size: -1, want: io.ErrUnexpectedEOF},
		{name: "no progress", body: iotest.ErrReader(nil), size: -1, want: io.ErrNoProgress},
		{name: "refused", set: func(f *fakeTarget) { f.refuse, f.after = wire.ErrFull, 10 }, want: wire.ErrFull},
		{name: "target over", set: func(f *fakeTarget) { f.closed, f.shut = wire.ErrFull, 20 }, body: endlessBody{}, size: 1 << 40, want: nil},
		{name: "no room", set: func(f *fakeTarget) { f.begin = wire.ErrFull }, want: wire.ErrFull},
		{name: "commit fails", set: func(f *fakeTarget) { f.commit = wire.ErrFull }, want: wire.ErrFull},
		{name: "plan without data", set: func(f *fakeTarget) { f.plan.Shape.Data = 0 }, want: wire.ErrProtocol},
		{name: "plan of huge stripes", set: func(f *fakeTarget) { f.plan.Stripe = 1 << 50 }, size: -1, want: wire.ErrProtocol},
		{name: "plan of no stripe", set: func(f *fakeTarget) { f.plan.Stripe = 0 }, size: -1, want: wire.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target := newFakeTarget(shape, testStripe, int64(len(full)))
				if tt.set != nil {
					tt.set(target)
				}
				target.start()
				body, size := tt.body, tt.size
				if body == nil {
					body = bytes.NewReader(full)
					if size == 0 {
						size = int64(len(full))
					}
				}
				bufs := NewBuffers(8 << 20)
				_, err := Write(t.Context(), target, body, size, WriterOptions{Buffers: bufs})
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("err = %v, want %v", err, tt.want)
				}
				checkAborted(t, target, bufs)
			})
		})
	}
}

func TestWriteCancelledBeforeAClosedWindow(t *testing.T) {
	for _, size := range []int{100, testStripe, 4 * testStripe} {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprint(size, direct), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					target := newFakeTarget(object.Shape{Data: 4, Parity: 2}, testStripe, int64(size))
					target.stuck = true
					target.start()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					bufs := NewBuffers(8 << 20)
					body := randomBytes(size)
					var err error
					if direct {
						_, err = WriteBytes(ctx, target, body, WriterOptions{Buffers: bufs})
						clear(body) // a race if the target still reads
					} else {
						_, err = Write(ctx, target, bytes.NewReader(body), -1, WriterOptions{Buffers: bufs})
					}
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("err = %v", err)
					}
					checkAborted(t, target, bufs)
				})
			})
		}
	}
}

// What is written is what is read.
func TestRoundTripThroughBothEngines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := randomBytes(2*testStripe + 777)
		shape := object.Shape{Data: 4, Parity: 2}
		target := newFakeTarget(shape, testStripe, int64(len(body))).start()
		if _, err := WriteBytes(t.Context(), target, body, WriterOptions{}); err != nil {
			t.Fatal(err)
		}
		checkStored(t, target, body)
		s := store(t, body, shape, testStripe)
		for i := range s.stripes {
			for c := range s.stripes[i] {
				s.stripes[i][c] = target.chunk(uint32(i), c)
			}
		}
		src := &fakeSource{stored: s, every: map[uint16]fault{0: {err: wire.ErrLost}, 3: {flip: true}}}
		checkRange(t, NewReader(src, s.rec, ReaderOptions{}), body, 5, -1)
		src.wg.Wait()
	})
}
