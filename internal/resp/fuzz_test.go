package resp

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func seeds(f *testing.F) {
	for _, s := range []string{
		"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n",
		"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n",
		"*0\r\n\r\nPING\r\nSET \"a b\\x00\" 'c\\''\r\n",
		"*2\r\n$3\r\nGET\r\n$99999999999\r\nx",
		"*-1\r\n", "*1\r\n$-1\r\n", "*1048577\r\n", "*1\r\n$1\r\nabc", "$5\r\n",
	} {
		f.Add([]byte(s))
	}
}

// What parses has one encoding: re-encoded it is the input, byte for byte.
func FuzzReencode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		src := bufio.NewReaderSize(bytes.NewReader(in), 256)
		d := NewDecoder(src)
		var again []byte
		for {
			n, err := d.Next()
			if err != nil || d.isInline {
				break
			}
			args := make([][]byte, 0, min(n, 64))
			for range n {
				if _, err := d.Arg(); err != nil {
					break
				}
				b, err := io.ReadAll(d)
				if err != nil {
					break
				}
				args = append(args, b)
			}
			if d.Err() != nil {
				break
			}
			again = AppendCommand(again, args...)
		}
		if !bytes.HasPrefix(in, again) {
			t.Errorf("%q parsed and encoded again is %q", in, again)
		}
	})
}

// splitReader hands out in pieces of the lengths in cuts, over and over.
type splitReader struct {
	in   []byte
	cuts []byte
	i    int
}

func (r *splitReader) Read(p []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := 1
	if len(r.cuts) > 0 {
		n += int(r.cuts[r.i%len(r.cuts)])
		r.i++
	}
	n = copy(p, r.in[:min(n, len(r.in))])
	r.in = r.in[n:]
	return n, nil
}

// Any split of the input gives the same commands and the same end.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{
		"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n",
		"SET a b\r\n*1\r\n$4\r\nPING\r\n", "*1\r\n$2\r\nabXX", "*1\r\n$300\r\nab",
	} {
		f.Add([]byte(s), []byte{0, 3, 1})
	}
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		whole, wholeErr := readAll(bytes.NewReader(in))
		split, splitErr := readAll(&splitReader{in: in, cuts: cuts})
		if diff := cmp.Diff(whole, split); diff != "" {
			t.Errorf("commands (-whole +split):\n%s", diff)
		}
		if wholeErr.Error() != splitErr.Error() {
			t.Errorf("error %q whole, %q split", wholeErr, splitErr)
		}
	})
}

// Whatever the headers declare, memory grows with the limit alone.
func FuzzAllocation(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 64
		src := bufio.NewReaderSize(nil, 256)
		r := bytes.NewReader(nil)
		var buf []byte
		allocs := testing.AllocsPerRun(1, func() {
			r.Reset(in)
			src.Reset(r)
			d := NewDecoder(src)
			for {
				n, err := d.Next()
				for range n {
					if err != nil {
						break
					}
					if _, err = d.Arg(); err == nil {
						buf, err = d.Append(buf[:0], limit)
					}
					if err == ErrTooLong {
						err = d.Discard()
					}
				}
				if err != nil {
					return
				}
			}
		})
		if cap(buf) > limit {
			t.Errorf("a buffer of %d bytes for arguments of at most %d", cap(buf), limit)
		}
		// A decoder, its error, two slices for an inline command that may grow
		// by doubling, the buffer.
		if allocs > 40 {
			t.Errorf("%v allocations", allocs)
		}
	})
}

// A reply's text cannot contain a line end.
func FuzzErrorReply(f *testing.F) {
	f.Add("ERR unknown command 'a\r\n+OK'")
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendError(nil, s)
		if i := bytes.IndexAny(got, "\r\n"); i != len(got)-2 || len(got) != len(s)+3 {
			t.Errorf("AppendError(%q) = %q", s, got)
		}
	})
}
