package erasure

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// encode returns all chunks of a stripe.
func encode(t testing.TB, c *Code, l Layout, buf []byte) [][]byte {
	t.Helper()
	chunks := l.Split(buf)
	for range l.Parity() {
		// Dirty: Encode overwrites.
		chunks = append(chunks, bytes.Repeat([]byte{0xee}, l.ChunkSize()))
	}
	if err := c.Encode(chunks[:l.Data()], chunks[l.Data():]); err != nil {
		t.Fatalf("Encode(%d bytes, %d+%d): %v", len(buf), l.Data(), l.Parity(), err)
	}
	return chunks
}

func TestLayout(t *testing.T) {
	for _, tc := range []struct {
		length       int64
		data, parity int
		size         int
		lens         []int
	}{
		{0, 3, 1, 0, []int{0, 0, 0, 0}},
		{1, 3, 1, 1, []int{1, 0, 0, 1}},
		{4, 3, 2, 2, []int{2, 2, 0, 2, 2}},
		{9, 3, 0, 3, []int{3, 3, 3}},
		{10, 3, 1, 4, []int{4, 4, 2, 4}},
		{7, 1, 2, 7, []int{7, 7, 7}},
		{10 << 20, 10, 2, 1 << 20, nil},
		{-5, 2, 1, 0, []int{0, 0, 0}},
	} {
		l := NewLayout(tc.length, tc.data, tc.parity)
		if l.ChunkSize() != tc.size {
			t.Errorf("%+v: ChunkSize() = %d, want %d", l, l.ChunkSize(), tc.size)
		}
		for i, want := range tc.lens {
			if got := l.Len(i); got != want {
				t.Errorf("%+v: Len(%d) = %d, want %d", l, i, got, want)
			}
		}
	}
	l := NewLayout(10, 3, 1) // 4 4 2 | 4
	if got := l.Blocks(0, 3); got != 2 {
		t.Errorf("Blocks(0, 3) = %d, want 2", got)
	}
	for _, tc := range []struct {
		i      int
		off, n int64
		lo, hi int
	}{
		{0, 0, 10, 0, 4}, {1, 5, 1, 1, 2}, {2, 5, 100, 0, 2}, {0, 5, 5, 0, 0}, {3, 0, 10, 0, 0}, {2, 10, 5, 0, 0},
	} {
		if lo, hi := l.Span(tc.i, tc.off, tc.n); lo != tc.lo || hi != tc.hi {
			t.Errorf("Span(%d, %d, %d) = %d, %d, want %d, %d", tc.i, tc.off, tc.n, lo, hi, tc.lo, tc.hi)
		}
	}
}

// The spans of any range, put together, are the range.
func TestSpanCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLayout(rapid.Int64Range(0, 500).Draw(t, "length"), rapid.IntRange(1, 12).Draw(t, "data"), 2)
		off := rapid.Int64Range(0, 500).Draw(t, "off")
		n := rapid.Int64Range(0, 500).Draw(t, "n")
		buf := random(1, int(l.Length()))
		var got []byte
		for i, ch := range l.Split(buf) {
			lo, hi := l.Span(i, off, n)
			got = append(got, ch[lo:hi]...)
		}
		want := buf[min(off, l.Length()):min(off+n, l.Length())]
		if !bytes.Equal(got, want) {
			t.Fatalf("spans of [%d, %d+%d) in %+v differ", off, off, n, l)
		}
	})
}

// checkDecode keeps the chunks that keep names and wants all others back, whole
// and in the columns [lo, hi).
func checkDecode(t interface {
	Helper()
	Fatalf(string, ...any)
}, c *Code, l Layout, chunks [][]byte, keep []int, lo, hi int) {
	t.Helper()
	at, dst := make([][]byte, l.Chunks()), make([][]byte, l.Chunks())
	for i := range dst {
		dst[i] = bytes.Repeat([]byte{0xaa}, l.LenIn(i, lo, hi))
	}
	for _, i := range keep {
		from := min(lo, l.Len(i))
		at[i] = chunks[i][from : from+l.LenIn(i, lo, hi)]
		if at[i] == nil {
			at[i] = []byte{}
		}
	}
	if err := c.Reconstruct(at, dst, hi-lo); err != nil {
		t.Fatalf("Reconstruct(%+v, keep %v, columns %d to %d): %v", l, keep, lo, hi, err)
	}
	for i := range dst {
		from := min(lo, l.Len(i))
		if !bytes.Equal(dst[i], chunks[i][from:from+l.LenIn(i, lo, hi)]) {
			t.Fatalf("Reconstruct(%+v, keep %v, columns %d to %d): chunk %d differs", l, keep, lo, hi, i)
		}
	}
}

// Law: any d of d+p chunks decode, whatever the stripe's length, whole or in a
// range of columns.
func TestAnyChunksDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.OneOf(rapid.IntRange(1, 12), rapid.IntRange(1, MaxChunks)).Draw(t, "d")
		p := min(rapid.OneOf(rapid.IntRange(0, 4), rapid.IntRange(0, MaxChunks)).Draw(t, "p"), MaxChunks-d)
		length := rapid.OneOf(
			rapid.SampledFrom([]int{0, 1, d - 1, d, d + 1, 64*d - 1, 64 * d, 64*d + 1}),
			rapid.IntRange(0, 20000)).Draw(t, "length")
		c, err := New(d, p)
		if err != nil {
			t.Fatalf("New(%d, %d): %v", d, p, err)
		}
		l := NewLayout(int64(length), d, p)
		buf := random(uint64(length), length)
		chunks := l.Split(buf)
		for range p {
			chunks = append(chunks, make([]byte, l.ChunkSize()))
		}
		if err := c.Encode(chunks[:d], chunks[d:]); err != nil {
			t.Fatalf("Encode: %v", err)
		}
		if !bytes.Equal(bytes.Join(chunks[:d], nil), buf) {
			t.Fatalf("Encode changed the data")
		}
		all := make([]int, d+p)
		for i := range all {
			all[i] = i
		}
		keep := rapid.Permutation(all).Draw(t, "order")[:d]
		checkDecode(t, c, l, chunks, keep, 0, l.ChunkSize())
		lo := rapid.IntRange(0, l.ChunkSize()).Draw(t, "lo")
		hi := rapid.IntRange(lo, l.ChunkSize()).Draw(t, "hi")
		checkDecode(t, c, l, chunks, keep, lo, hi)
	})
}

func FuzzAnyChunksDecode(f *testing.F) {
	f.Add([]byte("a short stripe"), uint8(4), uint8(2), uint64(3))
	f.Add([]byte{}, uint8(10), uint8(2), uint64(9))
	f.Fuzz(func(t *testing.T, buf []byte, data, parity uint8, seed uint64) {
		c, err := New(int(data), int(parity))
		if err != nil {
			if !errors.Is(err, ErrShape) {
				t.Fatalf("New(%d, %d): %v", data, parity, err)
			}
			return
		}
		l := NewLayout(int64(len(buf)), int(data), int(parity))
		chunks := encode(t, c, l, buf)
		keep := rand.New(rand.NewPCG(seed, 0)).Perm(l.Chunks())[:l.Data()]
		checkDecode(t, c, l, chunks, keep, 0, l.ChunkSize())
	})
}

func TestErrors(t *testing.T) {
	for _, shape := range [][2]int{{0, 1}, {-1, 2}, {65, 0}, {10, 55}, {3, -1}, {1 << 62, 1 << 62}, {2, 1<<63 - 1}} {
		if _, err := New(shape[0], shape[1]); !errors.Is(err, ErrShape) {
			t.Errorf("New(%v) = %v, want ErrShape", shape, err)
		}
	}
	c, err := New(3, 2)
	if err != nil {
		t.Fatal(err)
	}
	b := func(n int) []byte { return make([]byte, n) }
	for name, err := range map[string]error{
		"count":       c.Encode([][]byte{b(1)}, [][]byte{b(1), b(1)}),
		"long data":   c.Encode([][]byte{b(2), b(1), b(1)}, [][]byte{b(1), b(1)}),
		"odd parity":  c.Encode([][]byte{b(1), b(1), b(1)}, [][]byte{b(1), b(2)}),
		"few slices":  c.Reconstruct(make([][]byte, 4), make([][]byte, 5), 1),
		"short p":     c.Reconstruct([][]byte{b(2), b(2), nil, b(1), nil}, make([][]byte, 5), 2),
		"over width":  c.Reconstruct([][]byte{b(3), b(2), nil, b(2), nil}, make([][]byte, 5), 2),
		"unlike":      c.Reconstruct([][]byte{b(2), b(2), nil, b(2), nil}, [][]byte{b(1), nil, nil, nil, nil}, 2),
		"minus width": c.Reconstruct(make([][]byte, 5), make([][]byte, 5), -1),
	} {
		if !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v, want ErrArgument", name, err)
		}
	}
	err = c.Reconstruct([][]byte{b(1), nil, nil, b(1), nil}, [][]byte{nil, b(1), nil, nil, nil}, 1)
	if !errors.Is(err, ErrTooFew) {
		t.Errorf("two of three chunks: %v, want ErrTooFew", err)
	}
	// Nothing that is missing is wanted.
	if err := c.Reconstruct([][]byte{b(1), nil, nil, nil, nil}, [][]byte{b(1), nil, nil, nil, nil}, 1); err != nil {
		t.Errorf("copy of a chunk at hand: %v", err)
	}
}

func TestReplicas(t *testing.T) {
	c, err := New(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	chunks := encode(t, c, NewLayout(5, 1, 2), []byte("hello"))
	for i, ch := range chunks {
		if string(ch) != "hello" {
			t.Errorf("chunk %d = %q, want a copy", i, ch)
		}
	}
}

func TestCodes(t *testing.T) {
	var cs Codes
	a, err := cs.Get(10, 2)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := cs.Get(10, 2); b != a {
		t.Errorf("Get computed the same code twice")
	}
	if _, err := cs.Get(0, 0); !errors.Is(err, ErrShape) {
		t.Errorf("Get(0, 0) = %v, want ErrShape", err)
	}
	for d := 1; d < MaxChunks; d++ {
		for p := range 2 {
			if _, err := cs.Get(d, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(cs.codes) > maxCodes {
		t.Errorf("%d codes kept, want at most %d", len(cs.codes), maxCodes)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, length := range []int{10 << 20, 10<<20 - 3} {
		b.Run(fmt.Sprintf("10+2/%d", length), func(b *testing.B) {
			c, _ := New(10, 2)
			l := NewLayout(int64(length), 10, 2)
			chunks := encode(b, c, l, random(1, length))
			b.SetBytes(int64(length))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Encode(chunks[:10], chunks[10:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReconstruct(b *testing.B) {
	const length = 10 << 20
	for lost := 1; lost <= 2; lost++ {
		b.Run(fmt.Sprintf("10+2/lost=%d", lost), func(b *testing.B) {
			c, _ := New(10, 2)
			l := NewLayout(length, 10, 2)
			chunks := encode(b, c, l, random(1, length))
			dst := make([][]byte, 12)
			for i := range lost {
				chunks[3*i], dst[3*i] = nil, make([]byte, l.ChunkSize())
			}
			b.SetBytes(length)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Reconstruct(chunks, dst, l.ChunkSize()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
