package redis

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/resp"
)

// tape is a client that has said all it will say. Its replies are kept.
type tape struct {
	in  io.Reader
	out bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *tape) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// play gives input to a new door and returns its replies.
func play(t *testing.T, input []byte) []byte {
	t.Helper()
	f := newFake()
	f.max = 1 << 20
	d, err := New(Config{Cache: f})
	if err != nil {
		t.Fatal(err)
	}
	c := &tape{in: bytes.NewReader(input)}
	newConn(d, c).serve(context.Background())
	if n := f.pinned(); n != 0 {
		t.Errorf("%d readers left open", n)
	}
	if n := d.held.Load(); n != 0 {
		t.Errorf("%d bytes of argument memory not given back", n)
	}
	return c.out.Bytes()
}

// skipReply returns what follows the first reply in b; false if that is not
// well-formed.
func skipReply(b []byte) (rest []byte, ok bool) {
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok || len(line) == 0 || bytes.ContainsAny(line, "\r\n") {
		return nil, false
	}
	kind := line[0]
	if kind == '+' || kind == '-' || kind == '_' {
		return rest, true
	}
	n, ok := resp.ParseInt(line[1:])
	switch {
	case !ok:
		return nil, false
	case kind == ':' || n == -1 && (kind == '$' || kind == '*'):
		return rest, true
	case kind == '$' || kind == '=':
		if n < 0 || n+2 > int64(len(rest)) || string(rest[n:n+2]) != "\r\n" {
			return nil, false
		}
		return rest[n+2:], true
	case kind == '%':
		n *= 2
	case kind != '*' && kind != '~':
		return nil, false
	}
	for range n {
		if rest, ok = skipReply(rest); !ok {
			return nil, false
		}
	}
	return rest, true
}

// Whatever comes in: no panic, nothing leaks, and what goes out is a sequence of
// whole replies.
func FuzzDoor(f *testing.F) {
	for _, s := range []string{
		cmd("SET", "k", "v", "EX", "10") + cmd("GET", "k") + cmd("GETRANGE", "k", "-1", "5"),
		cmd("MSET", "a", "1", "b", "2") + cmd("MGET", "a", "x") + cmd("SCAN", "0", "MATCH", "[a-", "COUNT", "5"),
		cmd("HELLO", "3", "SETNAME", "x") + cmd("COMMAND", "INFO", "get", "x") + cmd("CLIENT", "REPLY", "SKIP"),
		"SET \"a\" 'b'\r\nGET a\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\nabc", "*1\r\n$-1\r\n",
		cmd("GETEX", "k", "PERSIST") + cmd("EXPIRE", "k", "9", "NX", "XX") + cmd("FOO\r\n", "\r\n+OK"),
		cmd("SET", "k", strings.Repeat("x", 2000), "KEEPTTL", "GET", "NX") + cmd("QUIT"),
		cmd("INFO") + cmd("COMMAND") + cmd("COMMAND", "DOCS") + cmd("CLIENT", "HELP") + cmd("CONFIG", "GET", "*"),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for out := play(t, in); len(out) > 0; {
			rest, ok := skipReply(out)
			if !ok {
				t.Fatalf("%q is answered by %s", in, short(string(out)))
			}
			out = rest
		}
	})
}

// The options of SET, in any order and number, are taken or refused.
func FuzzSetOptions(f *testing.F) {
	f.Add("nx ex 10 get")
	f.Add("pxat -5 keepttl")
	now := time.UnixMilli(1_700_000_000_000)
	f.Fuzz(func(t *testing.T, s string) {
		var args [][]byte
		for _, a := range strings.Fields(s) {
			args = append(args, []byte(a))
		}
		o, err := parseSetOptions("set", args, now)
		if err == nil && o.keepTTL && !o.expires.IsZero() {
			t.Errorf("%q both keeps and sets the expiry", s)
		}
		if err == nil && o.persist {
			t.Errorf("%q persists, which SET cannot", s)
		}
		if _, refused := err.(refusal); err != nil && !refused {
			t.Errorf("%q: %v is no refusal", s, err)
		}
	})
}
