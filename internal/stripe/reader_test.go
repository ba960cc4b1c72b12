package stripe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	testStripe = 3*wire.BlockSize + 5000
	block      = wire.BlockSize
)

var shapes = []object.Shape{{Data: 1}, {Data: 1, Parity: 2}, {Data: 4, Parity: 2}, {Data: 10, Parity: 2}, {Data: 10, Parity: 1}}

// checkRange reads a range in both ways and compares it with the object.
func checkRange(t *testing.T, r *Reader, want []byte, off, n int64) {
	t.Helper()
	end := int64(len(want))
	if n >= 0 && off+n < end {
		end = off + n
	}
	part := want[min(off, int64(len(want))):max(end, min(off, int64(len(want))))]
	var out bytes.Buffer
	if k, err := r.WriteRange(t.Context(), &out, off, n); err != nil || k != int64(len(part)) || !bytes.Equal(out.Bytes(), part) {
		t.Errorf("WriteRange(%d, %d) = %d, %v; want %d bytes, equal: %v", off, n, k, err, len(part), bytes.Equal(out.Bytes(), part))
	}
	dst := make([]byte, len(part)+16)
	if n >= 0 {
		dst = dst[:n]
	}
	if k, err := r.ReadInto(t.Context(), dst, off); err != nil || k != len(part) || !bytes.Equal(dst[:k], part) {
		t.Errorf("ReadInto(%d bytes, %d) = %d, %v; want %d bytes, equal: %v", len(dst), off, k, err, len(part), bytes.Equal(dst[:min(k, len(dst))], part))
	}
}

func TestReadSizesAndShapes(t *testing.T) {
	for _, shape := range shapes {
		for _, size := range []int{0, 1, shape.Data - 1, 1024, block - 1, block, block + 1, testStripe - 1, testStripe, testStripe + 1, 3*testStripe + testStripe/2} {
			t.Run(fmt.Sprintf("%d+%d/%d", shape.Data, shape.Parity, size), func(t *testing.T) {
				s := store(t, randomBytes(size), shape, testStripe)
				for lost := range shape.Parity + 1 {
					src := &fakeSource{stored: s, inline: true, every: map[uint16]fault{}}
					for i := range lost {
						src.every[uint16(i)] = fault{err: wire.ErrNotHeld}
					}
					for _, policy := range []Policy{PolicyHedged, PolicyAll} {
						bufs := NewBuffers(64 << 20)
						r := NewReader(src, s.rec, ReaderOptions{Policy: policy, Buffers: bufs})
						checkRange(t, r, s.object, 0, -1)
						if got := bufs.InUse(); got != 0 {
							t.Errorf("%d bytes in use after the reads", got)
						}
					}
				}
			})
		}
	}
}

func TestReadRanges(t *testing.T) {
	const big = 5*block + 100 // 4 data chunks of 2 blocks
	for _, shape := range []object.Shape{{Data: 1, Parity: 1}, {Data: 4, Parity: 2}, {Data: 2}} {
		s := store(t, randomBytes(2*big+block/2), shape, big)
		for lost := range shape.Parity + 1 {
			src := &fakeSource{stored: s, every: map[uint16]fault{}, inline: true}
			for i := range lost {
				src.every[uint16(i*2)] = fault{err: wire.ErrNotHeld, at: uint32(i)}
			}
			points := []int64{0, 1, block - 1, block, block + 1, big/4 - 1, big / 4, big/2 + 7, big - 1, big, big + 1, 2*big + 5, int64(len(s.object))}
			bufs := NewBuffers(8 << 20)
			for i, off := range points {
				for _, end := range points[i:] {
					r := NewReader(src, s.rec, ReaderOptions{Buffers: bufs})
					checkRange(t, r, s.object, off, end-off)
				}
			}
			src.wg.Wait()
		}
	}
}

func TestRangeReadsOnlyItsBlocks(t *testing.T) {
	s := store(t, randomBytes(16*block), object.Shape{Data: 4, Parity: 2}, 16*block)
	for _, tt := range []struct {
		off, n int64
		lost   bool
		blocks int
	}{
		{0, 10, false, 1},
		{block - 1, 2, false, 2},
		{5*block + 3, block, false, 2},
		{4*block - 1, 2, false, 2}, // the end of a chunk and the start of the next
		{0, 10, true, 4},           // the same column of d chunks
		{4*block - 1, 2, true, 5},  // a column of d chunks, and one block
		{2 * block, 2, true, 4},    //
		{0, 16 * block, false, 16}, //
		{block, 14 * block, false, 14},
	} {
		src := &fakeSource{stored: s, inline: true, every: map[uint16]fault{}}
		if tt.lost {
			src.every[0] = fault{err: wire.ErrLost}
		}
		r := NewReader(src, s.rec, ReaderOptions{})
		if _, err := r.WriteRange(t.Context(), io.Discard, tt.off, tt.n); err != nil {
			t.Errorf("range %d+%d: %v", tt.off, tt.n, err)
		}
		if src.blocks != tt.blocks {
			t.Errorf("range %d+%d, chunk 0 lost %v: %d blocks were read, want %d", tt.off, tt.n, tt.lost, src.blocks, tt.blocks)
		}
	}
}

func TestDamageIsALostChunk(t *testing.T) {
	s := store(t, randomBytes(2*testStripe), object.Shape{Data: 2, Parity: 1}, testStripe)
	for name, f := range map[string]fault{
		"flipped byte": {flip: true}, "last block flipped": {flip: true, at: 1}, "another chunk's block": {swap: true},
		"short block": {short: true}, "skipped block": {skip: true}, "early end": {early: true, at: 1},
	} {
		for chunk := range uint16(3) {
			t.Run(fmt.Sprintf("%s/%d", name, chunk), func(t *testing.T) {
				src := &fakeSource{stored: s, inline: true, every: map[uint16]fault{chunk: f}}
				r := NewReader(src, s.rec, ReaderOptions{Policy: PolicyAll})
				checkRange(t, r, s.object, 0, -1)

				src.every[(chunk+1)%3] = f
				r = NewReader(src, s.rec, ReaderOptions{})
				n, err := r.WriteRange(t.Context(), io.Discard, 0, -1)
				if n != 0 || !errors.Is(err, wire.ErrLost) || !errors.Is(err, wire.ErrCorrupt) {
					t.Errorf("with two damaged: %d, %v; want 0, lost and corrupt", n, err)
				}
			})
		}
	}
}

func TestWrongVersionIsALostChunk(t *testing.T) {
	s := store(t, randomBytes(1000), object.Shape{Data: 1, Parity: 1}, testStripe)
	rec := s.rec
	rec.Version++
	_, err := NewReader(&fakeSource{stored: s, inline: true}, rec, ReaderOptions{}).ReadInto(t.Context(), make([]byte, 1000), 0)
	if !errors.Is(err, wire.ErrLost) {
		t.Errorf("read of another version: %v, want lost", err)
	}
}

func TestFailureClasses(t *testing.T) {
	s := store(t, randomBytes(4000), object.Shape{Data: 2, Parity: 2}, testStripe)
	for _, tt := range []struct {
		errs []error
		want wire.Code
	}{
		{[]error{wire.ErrNotHeld, wire.ErrLost, wire.ErrCorrupt}, wire.CodeLost},
		{[]error{wire.ErrNotHeld, wire.ErrUnheard, wire.ErrLost}, wire.CodeUnheard},
		{[]error{wire.ErrBreaker, wire.ErrTimeout, wire.ErrLost}, wire.CodeBreaker},
		{[]error{wire.ErrBreaker, wire.ErrTimeout, wire.ErrUnheard}, wire.CodeUnheard},
		{[]error{wire.ErrTimeout, wire.ErrLost, wire.ErrLost}, wire.CodeTimeout},
		{[]error{wire.ErrClosed, wire.ErrLost, wire.ErrLost}, wire.CodeUnavailable},
		{[]error{errors.New("anything"), wire.ErrLost, wire.ErrLost}, wire.CodeUnavailable},
	} {
		src := &fakeSource{stored: s, inline: true, every: map[uint16]fault{}}
		for i, err := range tt.errs {
			src.every[uint16(i)] = fault{err: err}
		}
		n, err := NewReader(src, s.rec, ReaderOptions{}).WriteRange(t.Context(), io.Discard, 0, -1)
		if n != 0 || wire.CodeOf(err) != tt.want {
			t.Errorf("chunks failing with %v: %d, %v; want code %v", tt.errs, n, err, tt.want)
		}
	}
}

func TestBadRecords(t *testing.T) {
	good := wire.Record{Key: "k", Version: 1, Size: 100, Data: 2, Parity: 1, Stripe: 100}
	for name, change := range map[string]func(*wire.Record){
		"no data":      func(r *wire.Record) { r.Data = 0 },
		"too many":     func(r *wire.Record) { r.Data, r.Parity = 40, 30 },
		"stripe 0":     func(r *wire.Record) { r.Stripe = 0 },
		"huge stripe":  func(r *wire.Record) { r.Stripe, r.Size = 1<<40, 1<<40 },
		"negative":     func(r *wire.Record) { r.Size = -1 },
		"many stripes": func(r *wire.Record) { r.Stripe, r.Size = 1, 1<<40 },
	} {
		rec := good
		change(&rec)
		if _, err := NewReader(nil, rec, ReaderOptions{}).WriteRange(t.Context(), io.Discard, 0, -1); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewReader(nil, good, ReaderOptions{}).WriteRange(t.Context(), io.Discard, -1, 5); !errors.Is(err, wire.ErrRequest) {
		t.Errorf("negative offset: %v", err)
	}
	if n, err := NewReader(nil, good, ReaderOptions{}).WriteRange(t.Context(), io.Discard, 100, 5); n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

func TestHintsOrderRequests(t *testing.T) {
	s := store(t, randomBytes(8000), object.Shape{Data: 4, Parity: 2}, testStripe)
	for _, tt := range []struct{ ready, gone, want uint64 }{
		{0, 0, 0b001111},
		{0b111111, 0, 0b001111},
		{0b111011, 0, 0b011011},
		{0b110000, 0, 0b110011},
		{0, 0b000001, 0b011110},
		{0b111111, 0b000011, 0b111100},
		{0, 0b000111, 0b111001}, // gone is a hint: asked when nothing else is left
	} {
		src := &fakeSource{stored: s, inline: true}
		r := NewReader(src, s.rec, ReaderOptions{Ready: tt.ready, Gone: tt.gone})
		if _, err := r.WriteRange(t.Context(), io.Discard, 0, -1); err != nil {
			t.Error(err)
		}
		if got := src.askedOf(0); got != tt.want {
			t.Errorf("ready %b, gone %b: asked %b, want %b", tt.ready, tt.gone, got, tt.want)
		}
	}
}

func TestLostChunkIsNotAskedAgain(t *testing.T) {
	s := store(t, randomBytes(6*testStripe), object.Shape{Data: 4, Parity: 2}, testStripe)
	src := &fakeSource{stored: s, inline: true, every: map[uint16]fault{1: {err: wire.ErrNotHeld}}}
	r := NewReader(src, s.rec, ReaderOptions{})
	if _, err := r.WriteRange(t.Context(), io.Discard, 0, -1); err != nil {
		t.Fatal(err)
	}
	if got := src.askedOf(5); got != 0b011101 {
		t.Errorf("the last stripe was asked for %b, want the chunks that were there", got)
	}
	if st := r.Stats(); st.Rebuilt != 6 || st.Failed > 3 {
		t.Errorf("stats = %+v", st)
	}
}

func TestStalledChunkIsHedged(t *testing.T) {
	for _, policy := range []Policy{PolicyHedged, PolicyAll} {
		synctest.Test(t, func(t *testing.T) {
			s := store(t, randomBytes(4*testStripe), object.Shape{Data: 4, Parity: 2}, testStripe)
			src := &fakeSource{stored: s, every: map[uint16]fault{2: {delay: time.Hour}}}
			r := NewReader(src, s.rec, ReaderOptions{Policy: policy, Buffers: NewBuffers(32 << 20)})
			start := time.Now()
			checkRange(t, r, s.object, 0, -1)
			if took := time.Since(start); took > time.Second {
				t.Errorf("the read took %v", took)
			}
			if st := r.Stats(); policy == PolicyHedged && st.Hedges == 0 || policy == PolicyAll && st.Hedges != 0 {
				t.Errorf("policy %d: stats = %+v", policy, st)
			}
			if src.cancels == 0 {
				t.Error("the late chunk was not cancelled")
			}
			src.wg.Wait()
		})
	}
}

func TestStalledRangeIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, randomBytes(8*block), object.Shape{Data: 4, Parity: 2}, 8*block)
		src := &fakeSource{stored: s, every: map[uint16]fault{1: {delay: time.Hour}}}
		start := time.Now()
		checkRange(t, NewReader(src, s.rec, ReaderOptions{}), s.object, 2*block+10, 500)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the read took %v", took)
		}
		src.wg.Wait()
	})
}

func TestHealthyReadCancelsNothing(t *testing.T) {
	s := store(t, randomBytes(3*testStripe), object.Shape{Data: 4, Parity: 2}, testStripe)
	src := &fakeSource{stored: s, inline: true}
	checkRange(t, NewReader(src, s.rec, ReaderOptions{}), s.object, 0, -1)
	if src.cancels != 0 {
		t.Errorf("%d reads were cancelled", src.cancels)
	}
}

func TestHedgesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, randomBytes(4000), object.Shape{Data: 4, Parity: 2}, testStripe)
		src := &fakeSource{stored: s, every: map[uint16]fault{}}
		for i := range uint16(6) {
			src.every[i] = fault{delay: 300 * time.Millisecond} // everybody is slow
		}
		tail, hedges := NewTail(), 0
		tail.tokens = 5 * hedgeCost
		for range 30 {
			r := NewReader(src, s.rec, ReaderOptions{Tail: tail})
			if _, err := r.WriteRange(t.Context(), io.Discard, 0, -1); err != nil {
				t.Fatal(err)
			}
			hedges += r.Stats().Hedges
		}
		if hedges < 2 || hedges > 5+3 {
			t.Errorf("%d hedges in 30 slow reads, want at most the budget of 5 and what 30 reads earn", hedges)
		}
		src.wg.Wait()
	})
}

func TestStripeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, randomBytes(4000), object.Shape{Data: 2, Parity: 1}, testStripe)
		src := &fakeSource{stored: s, every: map[uint16]fault{0: {delay: time.Hour}, 1: {delay: time.Hour}}}
		start := time.Now()
		n, err := NewReader(src, s.rec, ReaderOptions{}).WriteRange(t.Context(), io.Discard, 0, -1)
		if n != 0 || !errors.Is(err, wire.ErrTimeout) || time.Since(start) != DefaultStripeTimeout {
			t.Errorf("= %d, %v after %v", n, err, time.Since(start))
		}
		src.wg.Wait()
	})
}

func TestReadCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, randomBytes(4000), object.Shape{Data: 2}, testStripe)
		src := &fakeSource{stored: s, every: map[uint16]fault{0: {delay: time.Hour}}}
		bufs := NewBuffers(1 << 20)
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("the client went away")
		time.AfterFunc(time.Second, func() { cancel(cause) })
		if _, err := NewReader(src, s.rec, ReaderOptions{Buffers: bufs}).WriteRange(ctx, io.Discard, 0, -1); !errors.Is(err, cause) {
			t.Errorf("err = %v, want the cause", err)
		}
		if bufs.InUse() != 0 {
			t.Errorf("%d bytes in use", bufs.InUse())
		}
		src.wg.Wait()
	})
}

// A link that is in the middle of a block when the read does without it goes on
// writing to its memory; the answer must not be touched by it.
func TestAbandonedInMidBlock(t *testing.T) {
	for _, shape := range []object.Shape{{Data: 1, Parity: 1}, {Data: 2, Parity: 1}, {Data: 4, Parity: 2}} {
		for at := range uint32(2) {
			synctest.Test(t, func(t *testing.T) {
				const stripe = 8*block + 10
				s := store(t, randomBytes(2*stripe), shape, stripe)
				src := &fakeSource{stored: s, every: map[uint16]fault{0: {abandon: 5 * time.Second, at: at}}}
				bufs := NewBuffers(64 << 20)
				for _, rg := range [][2]int64{{0, -1}, {17, 2 * block}, {100, 3*block + 50}} {
					start := time.Now()
					var out bytes.Buffer
					r := NewReader(src, s.rec, ReaderOptions{Buffers: bufs})
					if _, err := r.WriteRange(t.Context(), &out, rg[0], rg[1]); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(start); took > time.Second {
						t.Errorf("WriteRange took %v", took)
					}
					checkRange(t, NewReader(src, s.rec, ReaderOptions{Buffers: bufs}), s.object, rg[0], rg[1])
					want := s.object[rg[0]:]
					if rg[1] >= 0 {
						want = want[:rg[1]]
					}
					if !bytes.Equal(out.Bytes(), want) {
						t.Error("wrong bytes")
					}
				}
				src.wg.Wait()
				if bufs.InUse() != 0 {
					t.Errorf("%d bytes in use", bufs.InUse())
				}
			})
		}
	}
}

func TestReadIntoWaitsForItsMemoryWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, randomBytes(4000), object.Shape{Data: 1}, testStripe)
		src := &fakeSource{stored: s, every: map[uint16]fault{0: {abandon: 5 * time.Second}}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		dst := make([]byte, 4000)
		start := time.Now()
		if _, err := NewReader(src, s.rec, ReaderOptions{}).ReadInto(ctx, dst, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		clear(dst) // a race if the source still writes
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("returned after %v", took)
		}
	})
}

type slowWriter struct{ io.Writer }

func (w slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Second)
	return w.Writer.Write(p)
}

func TestReadersShareABudgetWithoutDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store(t, randomBytes(4*testStripe), object.Shape{Data: 4, Parity: 2}, testStripe)
		src := &fakeSource{stored: s, every: map[uint16]fault{1: {delay: 10 * time.Millisecond}, 2: {err: wire.ErrNotHeld}}}
		bufs := NewBuffers(3 * testStripe)
		errs := make(chan error, 8)
		for range cap(errs) {
			go func() {
				var out bytes.Buffer
				_, err := NewReader(src, s.rec, ReaderOptions{Buffers: bufs}).WriteRange(t.Context(), slowWriter{&out}, 0, -1)
				if err == nil && !bytes.Equal(out.Bytes(), s.object) {
					err = errors.New("wrong bytes")
				}
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if bufs.InUse() != 0 {
			t.Errorf("%d bytes in use", bufs.InUse())
		}
		time.Sleep(3 * keepIdle)
		if bufs.Kept() != 0 {
			t.Errorf("%d bytes kept after idling", bufs.Kept())
		}
		src.wg.Wait()
	})
}

type failingWriter struct{ after int }

func (w *failingWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.after)
	w.after -= n
	if n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

func TestWriterErrorEndsTheRead(t *testing.T) {
	s := store(t, randomBytes(3*testStripe), object.Shape{Data: 4, Parity: 2}, testStripe)
	bufs := NewBuffers(64 << 20)
	r := NewReader(&fakeSource{stored: s, inline: true}, s.rec, ReaderOptions{Buffers: bufs})
	n, err := r.WriteRange(t.Context(), &failingWriter{testStripe + 100}, 0, -1)
	if n != testStripe+100 || err != io.ErrClosedPipe || bufs.InUse() != 0 {
		t.Errorf("= %d, %v with %d bytes in use", n, err, bufs.InUse())
	}
}

func TestInfo(t *testing.T) {
	rec := wire.Record{Key: "k", Version: 3, Size: 9, Data: 4, Parity: 2, Stripe: 100, Stored: 1500}
	i := NewReader(nil, rec, ReaderOptions{}).Info()
	if i.Key != "k" || i.Version != 3 || i.Size != 9 || i.Shape != (object.Shape{Data: 4, Parity: 2}) || !i.Expires.IsZero() || i.Stored.UnixMilli() != 1500 {
		t.Errorf("Info() = %+v", i)
	}
}
