package redis

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/resp"
)

// serve runs a door on loopback until the test ends, and then checks that it
// ended well and left no reader open.
func serve(t *testing.T, f *fakeCache, cfg Config) (addr string, d *Door) {
	t.Helper()
	cfg.Cache = f
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve = %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Serve did not return")
		}
		if n := f.pinned(); n != 0 {
			t.Errorf("%d readers left open", n)
		}
		if n := d.held.Load(); n != 0 {
			t.Errorf("%d bytes of argument memory not given back", n)
		}
	})
	return ln.Addr().String(), d
}

// rawClient speaks bytes.
type rawClient struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, addr string) *rawClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(5 * time.Minute))
	t.Cleanup(func() { nc.Close() })
	return &rawClient{Conn: nc, t: t, r: bufio.NewReader(nc)}
}

func (c *rawClient) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// expect reads exactly want.
func (c *rawClient) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if err != nil || string(got) != want {
		c.t.Fatalf("read %s, %v; want %s", short(string(got[:n])), err, short(want))
	}
}

// expectEnd reads to the end of the connection and wants nothing there.
func (c *rawClient) expectEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
		c.t.Fatal("connection still open")
	}
	if len(rest) > 0 {
		c.t.Fatalf("read %s, want the end", short(string(rest)))
	}
}

// cmd is a command as clients send it.
func cmd(args ...string) string {
	var bs [][]byte
	for _, a := range args {
		bs = append(bs, []byte(a))
	}
	return string(resp.AppendCommand(nil, bs...))
}

func bulkOf(s string) string { return string(resp.AppendBulk(nil, s)) }

func short(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%q... (%d bytes)", s[:200], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// script is a list of commands, as words, and the replies to them.
type script []struct{ send, want string }

func (s script) run(t *testing.T, c *rawClient) {
	t.Helper()
	for _, step := range s {
		var args []string
		for _, a := range strings.Fields(step.send) {
			if a == `""` {
				a = ""
			}
			args = append(args, a)
		}
		c.send(cmd(args...))
		got := make([]byte, len(step.want))
		n, err := io.ReadFull(c.r, got)
		if err != nil || string(got) != step.want {
			rest, _ := c.r.Peek(c.r.Buffered())
			t.Fatalf("%s: reply %s %s, %v; want %s", step.send, short(string(got[:n])), short(string(rest)), err, short(step.want))
		}
	}
}

// bulk reads one bulk string.
func (c *rawClient) bulk() string {
	c.t.Helper()
	var n int
	if _, err := fmt.Fscanf(c.r, "$%d\r\n", &n); err != nil {
		c.t.Fatalf("bulk header: %v", err)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.t.Fatalf("bulk: %v", err)
	}
	return string(b[:n])
}
