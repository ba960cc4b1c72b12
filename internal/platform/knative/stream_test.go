package knative

import (
	"bytes"
	"strings"
	"testing"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/wire"
)

// endless is a function that never ends its line.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	e.read += len(b)
	return len(b), nil
}

func TestLineWithoutEndIsCut(t *testing.T) {
	var e endless
	if _, err := read(&e, func(wire.Call) {}, func() {}); err == nil || e.read > 2*activation.MaxLine {
		t.Errorf("read %d bytes, %v", e.read, err)
	}
}

// Whatever a service answers, it is an end, or an error; what it calls for is an
// address; and each line is heard once.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "{}\n", "{}\n{}\n", "null\n", "[]\n", "{\"end\":{}}", "{\"end\":null}\n{\"end\":{\"payload\":{}}}\n",
		"{}\n{\"call\":{\"address\":\"10.1.2.3:8076\"}}\n{\"end\":{\"failure\":{\"fault\":\"timeout\"}}}\n",
		"{\"call\":{\"address\":\"example.com:80\"}}\n", "{\"call\":{\"address\":\"[::1%25x]:1\",\"fingerprint\":\"AAAA\"}}\n",
		"{\"end\":{\"milliseconds\":1e308,\"initMilliseconds\":-1}}\n", strings.Repeat("[", 20_000),
	} {
		f.Add([]byte(seed))
	}
	d, err := New(Config{Host: "n-%d"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		lines := 0
		end, err := read(bytes.NewReader(stream), func(c wire.Call) {
			if err := check(&c); err != nil {
				t.Errorf("called from %+v: %v", c, err)
			}
		}, func() { lines++ })
		if most := bytes.Count(stream, []byte("\n")) + 1; lines > most {
			t.Errorf("%d lines heard of %d", lines, most)
		}
		out := d.outcome(end, 0)
		if out.Duration < 0 || out.Init < 0 || out.Billed < out.Duration || out.Duration > activation.MaxLimit {
			t.Errorf("outcome %+v, %v", out, err)
		}
	})
}
