package trace

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func contents(t testing.TB, name string, size int64) []byte {
	t.Helper()
	b, err := io.ReadAll(Content(name, size))
	if err != nil || int64(len(b)) != size {
		t.Fatalf("read of %q gave %d bytes and error %v, want %d bytes", name, len(b), err, size)
	}
	return b
}

func TestContentAtAnyOffset(t *testing.T) {
	const size = 100_003
	whole := contents(t, "a/b", size)
	for _, off := range []int64{0, 1, 15, 16, 17, 4095, 65536, size - 1} {
		for _, n := range []int{1, 15, 16, 33, 5000} {
			got := make([]byte, n)
			k, err := Content("a/b", size).ReadAt(got, off)
			want := whole[off:min(off+int64(n), size)]
			if k != len(want) || !bytes.Equal(got[:k], want) || (k < n) != (err == io.EOF) {
				t.Errorf("ReadAt(%d bytes, offset %d) = %d, %v, or other bytes than in order", n, off, k, err)
			}
		}
	}
	if _, err := Content("a", 10).ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt before the start gave no error")
	}
}

func TestContentFollowsName(t *testing.T) {
	a, longer, b := contents(t, "a", 1000), contents(t, "a", 2000), contents(t, "b", 1000)
	if !bytes.Equal(a, longer[:1000]) {
		t.Error("two sizes of one name differ in what both have")
	}
	if bytes.Equal(a[:16], b[:16]) {
		t.Error("two names have the same bytes")
	}
	// Pinned: a replay verifies what an earlier run stored.
	if want := []byte{0x20, 0xe1, 0x45, 0xc8}; !bytes.Equal(a[:4], want) {
		t.Errorf("the contents of \"a\" begin with %#x, want %#x", a[:4], want)
	}
}

func TestVerifier(t *testing.T) {
	const size = 50_000
	right := contents(t, "x", size)
	flipped := bytes.Clone(right)
	flipped[20_001] ^= 4
	flipped[40_000] ^= 1
	for _, tt := range []struct {
		name   string
		got    []byte
		wrong  int64
		offset int64 // of the first defect, -1 for none
	}{
		{"right", right, 0, -1},
		{"two wrong", flipped, 2, 20_001},
		{"short", right[:size-1], 0, size - 1},
		{"nothing", nil, 0, 0},
		{"long", append(bytes.Clone(right), 1, 2, 3), 3, size},
		{"another", contents(t, "y", 16), 16, 0},
	} {
		for _, step := range []int{1, 777, size} {
			v := NewVerifier("x", size)
			for rest := tt.got; len(rest) > 0; {
				n, err := v.Write(rest[:min(step, len(rest))])
				if err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			err := v.Close()
			var wrong *WrongContent
			if v.Wrong() != tt.wrong || v.Received() != int64(len(tt.got)) || errors.As(err, &wrong) != (tt.offset >= 0) {
				t.Errorf("%s in steps of %d: %d wrong of %d, error %v", tt.name, step, v.Wrong(), v.Received(), err)
			} else if wrong != nil && wrong.Offset != tt.offset {
				t.Errorf("%s in steps of %d: %v, want offset %d", tt.name, step, err, tt.offset)
			}
		}
	}
}

func BenchmarkContent(b *testing.B) {
	buf := make([]byte, 256<<10)
	src := newKeystream("a")
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		src.ReadAt(buf, 12345)
	}
}

func BenchmarkVerifier(b *testing.B) {
	buf := contents(b, "a", 256<<10)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		NewVerifier("a", int64(len(buf))).Write(buf)
	}
}
