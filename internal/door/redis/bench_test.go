package redis

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/infinicache/infinicache/internal/object"
)

// loop gives the same input again and again, n times.
type loop struct {
	input []byte
	n     int
	off   int
}

func (l *loop) Read(p []byte) (int, error) {
	if l.off == len(l.input) {
		if l.n--; l.n <= 0 {
			return 0, io.EOF
		}
		l.off = 0
	}
	n := copy(p, l.input[l.off:])
	l.off += n
	return n, nil
}

// void is a Cache that stores nothing and has every key, so that only the door
// is measured.
type void struct {
	*fakeCache
	value []byte
}

func (v void) Put(_ context.Context, _ string, size int64, body io.Reader, _ object.PutOptions) (object.PutResult, error) {
	_, err := io.ReadFull(body, v.value[:size])
	return object.PutResult{Stored: true}, err
}

func (v void) Open(context.Context, string) (object.Reader, error) { return v, nil }
func (v void) Info() object.Info                                   { return object.Info{Size: int64(len(v.value))} }
func (v void) Close() error                                        { return nil }

func (v void) WriteRange(_ context.Context, w io.Writer, off, n int64) (int64, error) {
	m, err := w.Write(v.value[off : off+n])
	return int64(m), err
}

// BenchmarkCommand measures the door alone: pipelines of 16 commands, a cache
// that does nothing, and a client that costs nothing.
func BenchmarkCommand(b *testing.B) {
	for _, size := range []int{100, 100_000} {
		value := make([]byte, size)
		for name, command := range map[string]string{
			"GET": cmd("GET", "key:000000000001"),
			"SET": cmd("SET", "key:000000000001", string(value)),
		} {
			b.Run(fmt.Sprint(name, "/", size), func(b *testing.B) {
				d, err := New(Config{Cache: void{newFake(), value}})
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				const pipeline = 16
				in := &loop{input: bytes.Repeat([]byte(command), pipeline), n: b.N/pipeline + 1}
				b.ResetTimer()
				newConn(d, &sink{tape{in: in}}).serve(context.Background())
			})
		}
	}
}

// sink is a tape that forgets.
type sink struct{ tape }

func (*sink) Write(p []byte) (int, error) { return len(p), nil }
