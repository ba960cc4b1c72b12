package trace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func readAll(text string) ([]Request, error) {
	r, err := NewReader(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var all []Request
	for {
		req, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			if _, again := r.Next(); again != err {
				return all, errors.New("the error did not stay")
			}
			return all, err
		}
		all = append(all, req)
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func TestNext(t *testing.T) {
	want := []Request{
		{At: 26626 * time.Millisecond, Object: "a/b", Size: 28540435, Status: 200},
		{At: 0, Object: "c", Size: 0, Status: 206},
	}
	plain := header + "\n26.626,a/b,28540435,200\n0,c,0,206\n"
	for name, text := range map[string]string{
		"plain":         plain,
		"no last end":   strings.TrimSuffix(plain, "\n"),
		"carriage ends": strings.ReplaceAll(plain, "\n", "\r\n"),
		"gzip":          zipped(plain),
	} {
		got, err := readAll(text)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: error %v, requests (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestMalformed(t *testing.T) {
	ok := header + "\n1,a,1,200\n"
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "line 1: "},
		{"no header", "1,a,1,200\n", "line 1: malformed trace: header"},
		{"too few fields", ok + "1,a,1\n", "line 3: malformed trace: 3 fields"},
		{"too many fields", ok + "1,a,1,200,\n", "line 3: malformed trace: 5 fields"},
		{"blank line", ok + "\n", "line 3: "},
		{"negative time", ok + "-1,a,1,200\n", "line 3: malformed trace: seconds"},
		{"no time", ok + "NaN,a,1,200\n", "line 3: malformed trace: seconds"},
		{"endless time", ok + "1e300,a,1,200\n", "line 3: malformed trace: seconds"},
		{"no object", ok + "1,,1,200\n", "line 3: malformed trace: object"},
		{"negative size", ok + "1,a,-1,200\n", "line 3: malformed trace: bytes"},
		{"huge size", ok + "1,a,9999999999999999,200\n", "line 3: malformed trace: bytes"},
		{"bad status", ok + "1,a,1,20\n", "line 3: malformed trace: status"},
		{"long line", ok + "1," + strings.Repeat("a", MaxLine) + ",1,200\n", "line 3: malformed trace: longer"},
		{"endless line", ok + strings.Repeat("a", 10*MaxLine), "line 3: malformed trace: longer"},
		{"cut gzip", zipped(ok)[:20], "malformed trace: "},
		{"only magic", "\x1f\x8b", "line 1: malformed trace: "},
	} {
		_, err := readAll(tt.text)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	longest := header + "\n1," + strings.Repeat("a", MaxLine-len("1,,1,200")) + ",1,200\n"
	if _, err := readAll(longest); err != nil {
		t.Errorf("line of MaxLine bytes: %v", err)
	}
}

func TestOpen(t *testing.T) {
	r, err := Open("../../testdata/trace/dal09-2000.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var n, bytes int64
	objects := map[string]bool{}
	for {
		req, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		bytes += req.Size
		objects[req.Object] = true
	}
	if n != 2000 || len(objects) != 661 || bytes/1e9 != 109 {
		t.Errorf("%d requests, %d objects, %d bytes; want 2000, 661 and about 109.9 GB", n, len(objects), bytes)
	}
	if _, err := Open("no-such-file"); err == nil {
		t.Error("Open of a missing file gave no error")
	}
}

func TestScaled(t *testing.T) {
	for _, tt := range []struct {
		size   int64
		factor float64
		want   int64
	}{
		{28540435, 0.01, 285404}, {28540435, 1, 28540435}, {10, 0.01, 1}, {0, 0.5, 0}, {MaxSize, 10, MaxSize},
	} {
		if got := (Request{Size: tt.size}).Scaled(tt.factor).Size; got != tt.want {
			t.Errorf("size %d scaled by %v = %d, want %d", tt.size, tt.factor, got, tt.want)
		}
	}
	for _, factor := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("scale %v did not panic", factor)
				}
			}()
			Request{Size: 1}.Scaled(factor)
		}()
	}
}

// FuzzReader holds the reader to its limits: whatever the bytes, it ends, and
// every request it returns is within bounds.
func FuzzReader(f *testing.F) {
	f.Add([]byte(header + "\n1.5,a/b,10,200\n"))
	f.Add([]byte(zipped(header + "\n1,a,1,200\n")))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := NewReader(bytes.NewReader(text))
		if err != nil {
			return
		}
		for {
			req, err := r.Next()
			if err != nil {
				if err != io.EOF && !errors.Is(err, ErrMalformed) && !strings.HasPrefix(err.Error(), "line ") {
					t.Fatalf("unexpected error %v", err)
				}
				return
			}
			if req.At < 0 || req.Object == "" || len(req.Object) > MaxLine || req.Size < 0 || req.Size > MaxSize {
				t.Fatalf("request out of bounds: %+v", req)
			}
		}
	})
}
