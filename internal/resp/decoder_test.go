package resp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// readAll decodes every command of r, and the error that ended it.
func readAll(r io.Reader) ([][]string, error) {
	d := NewDecoder(bufio.NewReaderSize(r, 256))
	var cmds [][]string
	for {
		n, err := d.Next()
		if err != nil {
			return cmds, err
		}
		args := make([]string, 0, min(n, 64))
		for range n {
			if _, err := d.Arg(); err != nil {
				return cmds, err
			}
			b, err := io.ReadAll(d)
			if err != nil {
				return cmds, err
			}
			args = append(args, string(b))
		}
		cmds = append(cmds, args)
	}
}

func TestDecoder(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name, in string
		want     [][]string
		err      string // "" means io.EOF between commands
	}{
		{"nothing", "", nil, ""},
		{"array", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", [][]string{{"GET", "k"}}, ""},
		{"empty argument", "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", [][]string{{"ECHO", ""}}, ""},
		{"line ends in a body", "*1\r\n$4\r\n\r\n\r\n\r\n", [][]string{{"\r\n\r\n"}}, ""},
		{"body longer than the buffer", "*1\r\n$300\r\n" + long + "\r\n", [][]string{{long}}, ""},
		{"empty array", "*0\r\n*1\r\n$1\r\na\r\n", [][]string{{}, {"a"}}, ""},
		{"inline", "SET  k v\r\nPING\n", [][]string{{"SET", "k", "v"}, {"PING"}}, ""},
		{"empty line", "\r\n\n", [][]string{{}, {}}, ""},
		{"inline quotes", `SET "a \x41\n\"" 'b\' \n'` + "\n", [][]string{{"SET", "a A\n\"", `b' \n`}}, ""},
		{"inline then array", "PING\r\n*1\r\n$1\r\na\r\n", [][]string{{"PING"}, {"a"}}, ""},

		{"unbalanced", "SET \"k\r\n", nil, "Protocol error: unbalanced quotes in request"},
		{"text behind a quote", "SET \"k\"x\r\n", nil, "Protocol error: unbalanced quotes in request"},
		{"inline too long", long, nil, "Protocol error: too big inline request"},
		{"count too long", "*" + long, nil, "Protocol error: too big mbulk count string"},
		{"length too long", "*1\r\n$" + long, nil, "Protocol error: too big bulk count string"},
		{"negative count", "*-1\r\n", nil, "Protocol error: invalid multibulk length"},
		{"too many arguments", "*1048577\r\n", nil, "Protocol error: invalid multibulk length"},
		{"count with a zero before", "*01\r\n", nil, "Protocol error: invalid multibulk length"},
		{"count without return", "*1\n", nil, "Protocol error: invalid multibulk length"},
		{"no count", "*\r\n", nil, "Protocol error: invalid multibulk length"},
		{"negative length", "*1\r\n$-1\r\n", nil, "Protocol error: invalid bulk length"},
		{"length overflows", "*1\r\n$9223372036854775808\r\n", nil, "Protocol error: invalid bulk length"},
		{"no bulk", "*1\r\n:1\r\n", nil, "Protocol error: expected '$', got ':'"},
		{"no bulk, unprintable", "*1\r\n\x00\r\n", nil, "Protocol error: expected '$', got '?'"},
		{"bad line end", "*1\r\n$1\r\nabc", nil, "Protocol error: expected a line end after an argument"},
		{"ends in a header", "*1\r", nil, "unexpected EOF"},
		{"ends before an argument", "*1\r\n", nil, "unexpected EOF"},
		{"ends in a body", "*1\r\n$5\r\nab", nil, "unexpected EOF"},
		{"ends before the line end", "*1\r\n$1\r\na", nil, "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"whole":    strings.NewReader(tt.in),
				"one byte": iotest.OneByteReader(strings.NewReader(tt.in)),
				"data+EOF": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				got, err := readAll(r)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s: commands (-want +got):\n%s", name, diff)
				}
				if want := tt.err; want == "" && err != io.EOF || want != "" && err.Error() != want {
					t.Errorf("%s: error %q, want %q", name, err, want)
				}
			}
		})
	}
}

func TestDecoderErrorIsFinal(t *testing.T) {
	d := NewDecoder(bufio.NewReader(strings.NewReader("*x\r\n*1\r\n$1\r\na\r\n")))
	_, first := d.Next()
	var perr *ProtocolError
	if !errors.As(first, &perr) {
		t.Fatalf("Next() error = %v, want a *ProtocolError", first)
	}
	if _, err := d.Next(); err != first {
		t.Errorf("Next() after an error = %v, want %v", err, first)
	}
	if _, err := d.Arg(); err != first {
		t.Errorf("Arg() after an error = %v, want %v", err, first)
	}
	if _, err := d.Read(make([]byte, 1)); err != first {
		t.Errorf("Read() after an error = %v, want %v", err, first)
	}
	if err := d.Discard(); err != first {
		t.Errorf("Discard() after an error = %v, want %v", err, first)
	}
}

// A reader that ignores an error beside a full buffer, as io.ReadFull does, must
// not take a body whose line end is wrong for a good one.
func TestReadHoldsBackTheLastBytes(t *testing.T) {
	d := NewDecoder(bufio.NewReader(strings.NewReader("*1\r\n$4\r\nabcdXX")))
	if _, err := d.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Arg(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(d, make([]byte, 4)); err == nil {
		t.Errorf("ReadFull = %d, nil; want an error", n)
	}
}

func TestAppendLimit(t *testing.T) {
	d := NewDecoder(bufio.NewReader(strings.NewReader("*2\r\n$1000000000000\r\n")))
	if _, err := d.Next(); err != nil {
		t.Fatal(err)
	}
	size, err := d.Arg()
	if err != nil || size != 1e12 {
		t.Fatalf("Arg() = %d, %v", size, err)
	}
	if _, err := d.Append(nil, 1<<16); !errors.Is(err, ErrTooLong) {
		t.Errorf("Append error = %v, want ErrTooLong", err)
	}
	if d.Err() != nil || d.Left() != 1e12 {
		t.Errorf("after ErrTooLong: Err %v, Left %d", d.Err(), d.Left())
	}
}

func TestDiscardSkipsToTheNextArgument(t *testing.T) {
	body := strings.Repeat("z", 5000)
	in := AppendCommand(nil, []byte("SET"), []byte(body), []byte("EX"))
	in = append(in, "SET a b\r\n"...)
	d := NewDecoder(bufio.NewReaderSize(iotest.HalfReader(bytes.NewReader(in)), 64))
	var got []string
	for range 2 {
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
		for i := 0; d.Args() > 0; i++ {
			if _, err := d.Arg(); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if err := d.Discard(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			b, err := d.Append(nil, 100)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(b))
		}
	}
	if diff := cmp.Diff([]string{"SET", "EX", "SET", "b"}, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestParseInt(t *testing.T) {
	good := map[string]int64{
		"0": 0, "7": 7, "-1": -1, "10": 10,
		"9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63,
	}
	for in, want := range good {
		if got, ok := ParseInt([]byte(in)); !ok || got != want {
			t.Errorf("ParseInt(%q) = %d, %v; want %d", in, got, ok, want)
		}
	}
	for _, in := range []string{
		"", "-", "-0", "+1", "01", "-01", "1 ", " 1", "1a", "0x1", "1.0",
		"9223372036854775808", "-9223372036854775809", "99999999999999999999",
	} {
		if got, ok := ParseInt([]byte(in)); ok {
			t.Errorf("ParseInt(%q) = %d, want a refusal", in, got)
		}
	}
}

func TestReplies(t *testing.T) {
	tests := []struct {
		name   string
		v2, v3 string
		write  func(v Version) []byte
	}{
		{"simple", "+OK\r\n", "+OK\r\n", func(Version) []byte { return AppendSimple(nil, "OK") }},
		{"error", "-ERR a  b\r\n", "-ERR a  b\r\n", func(Version) []byte { return AppendError(nil, "ERR a\r\nb") }},
		{"int", ":-5\r\n", ":-5\r\n", func(Version) []byte { return AppendInt(nil, -5) }},
		{"bulk", "$2\r\nab\r\n", "$2\r\nab\r\n", func(Version) []byte { return AppendBulk(nil, "ab") }},
		{"array", "*3\r\n", "*3\r\n", func(Version) []byte { return AppendArray(nil, 3) }},
		{"null", "$-1\r\n", "_\r\n", func(v Version) []byte { return v.AppendNull(nil) }},
		{"null array", "*-1\r\n", "_\r\n", func(v Version) []byte { return v.AppendNullArray(nil) }},
		{"map", "*4\r\n", "%2\r\n", func(v Version) []byte { return v.AppendMap(nil, 2) }},
		{"set", "*2\r\n", "~2\r\n", func(v Version) []byte { return v.AppendSet(nil, 2) }},
		{"text", "$2\r\nab\r\n", "=6\r\ntxt:ab\r\n", func(v Version) []byte { return v.AppendText(nil, "ab") }},
	}
	for _, tt := range tests {
		if got := string(tt.write(V2)); got != tt.v2 {
			t.Errorf("%s, version 2: %q, want %q", tt.name, got, tt.v2)
		}
		if got := string(tt.write(V3)); got != tt.v3 {
			t.Errorf("%s, version 3: %q, want %q", tt.name, got, tt.v3)
		}
	}
}
