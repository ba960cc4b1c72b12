package stripe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

var benchShapes = []struct {
	size  int
	shape object.Shape
}{{1 << 10, object.Shape{Data: 1, Parity: 2}}, {10 << 20, object.Shape{Data: 10, Parity: 2}}}

// The in-memory source copies each body once, as a socket would.
func BenchmarkRead(b *testing.B) {
	for _, s := range benchShapes {
		st := store(b, randomBytes(s.size), s.shape, 10<<20)
		for name, every := range map[string]map[uint16]fault{"": nil, "/degraded": {0: {err: wire.ErrNotHeld}}} {
			opts := ReaderOptions{Buffers: NewBuffers(64 << 20), Tail: NewTail(), Codes: new(erasure.Codes)}
			src := &quietSource{fakeSource{stored: st, inline: true, every: every}}
			b.Run(fmt.Sprintf("write/%d%s", s.size, name), func(b *testing.B) {
				b.SetBytes(int64(s.size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := NewReader(src, st.rec, opts).WriteRange(b.Context(), io.Discard, 0, -1); err != nil {
						b.Fatal(err)
					}
				}
			})
			dst := make([]byte, s.size)
			b.Run(fmt.Sprintf("into/%d%s", s.size, name), func(b *testing.B) {
				b.SetBytes(int64(s.size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := NewReader(src, st.rec, opts).ReadInto(b.Context(), dst, 0); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// quietSource serves without a journal of its own.
type quietSource struct{ fakeSource }

func (s *quietSource) Read(stripe uint32, wants []wire.Want, sink Sink) func() {
	for _, w := range wants {
		if f := s.every[w.Chunk]; f.err != nil {
			sink.End(w.Chunk, f.err)
			continue
		}
		for j := w.From; j < w.To; j++ {
			body := cutBlock(s.stripes[stripe][w.Chunk], j)
			b := wire.Block{Stripe: stripe, Chunk: w.Chunk, Index: j, Sum: s.sums[stripe][w.Chunk][j]}
			mem := sink.Buffer(b, len(body))
			copy(mem, body)
			sink.Block(b, mem, nil)
		}
		sink.End(w.Chunk, nil)
	}
	return func() {}
}

// quietTarget drops blocks at once and settles at commit.
type quietTarget struct {
	plan   Plan
	events chan Event
}

func (t *quietTarget) Plan() Plan                                 { return t.plan }
func (t *quietTarget) Begin(context.Context, uint32, int64) error { return nil }
func (t *quietTarget) Events() <-chan Event                       { return t.events }
func (t *quietTarget) Abort()                                     {}
func (t *quietTarget) Err() error                                 { return nil }

func (t *quietTarget) Block(_ context.Context, _ wire.Block, _ []byte, owner Releaser) error {
	owner.Release()
	return nil
}

func (t *quietTarget) Commit(context.Context, int64, uint32) (object.PutResult, error) {
	return object.PutResult{Stored: true}, nil
}

func BenchmarkWrite(b *testing.B) {
	for _, s := range benchShapes {
		target := &quietTarget{Plan{1, s.shape, 10 << 20}, make(chan Event)}
		opts := WriterOptions{Buffers: NewBuffers(64 << 20), Codes: new(erasure.Codes)}
		body := randomBytes(s.size)
		b.Run(fmt.Sprintf("stream/%d", s.size), func(b *testing.B) {
			b.SetBytes(int64(s.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Write(b.Context(), target, bytes.NewReader(body), int64(s.size), opts); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("bytes/%d", s.size), func(b *testing.B) {
			b.SetBytes(int64(s.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := WriteBytes(b.Context(), target, body, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
