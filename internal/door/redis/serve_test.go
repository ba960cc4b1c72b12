package redis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestConfigIsRefusedWhole(t *testing.T) {
	_, err := New(Config{MaxConns: -1, Stall: -1, ArgumentMemory: -1})
	if err == nil {
		t.Fatal("New took it")
	}
	for _, want := range []string{"Cache", "MaxConns", "Stall", "ArgumentMemory"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	addr, d := serve(t, newFake(), Config{MaxConns: 2})
	a, b := dial(t, addr), dial(t, addr)
	for _, c := range []*rawClient{a, b} {
		c.send(cmd("PING"))
		c.expect("+PONG\r\n")
	}
	c := dial(t, addr)
	c.expect("-ERR max number of clients reached\r\n")
	c.expectEnd()
	a.Close()
	waitFor(t, "a place", func() bool { return len(d.all()) < 2 })
	c = dial(t, addr)
	c.send(cmd("PING"))
	c.expect("+PONG\r\n")
}

// A client that writes all its commands before it reads gets all replies, in
// order.
func TestPipeline(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{})
	c := dial(t, addr)
	const n = 10_000
	var in, want strings.Builder
	for i := range n / 2 {
		key, value := fmt.Sprintf("key-%d", i%100), fmt.Sprintf("value-%d", i)
		in.WriteString(cmd("SET", key, value))
		in.WriteString(cmd("GET", key))
		want.WriteString(ok + bulkOf(value))
	}
	c.send(in.String())
	c.expect(want.String())
}

// Any split of the input gives the same replies.
// A browser can be made to send a POST here, whose body reads like commands.
func TestHTTPIsNotObeyed(t *testing.T) {
	for _, request := range []string{
		"POST / HTTP/1.1\r\n",
		"post / HTTP/1.1\r\nHost: localhost:6378\r\n",
		"PUT / HTTP/1.1\r\nHost: localhost:6378\r\n",
	} {
		f := newFake()
		addr, _ := serve(t, f, Config{})
		other := dial(t, addr)
		other.send(cmd("SET", "k", "v"))
		other.expect(ok)
		c := dial(t, addr)
		c.send(request + "Content-Length: 10\r\n\r\nFLUSHALL\r\n")
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: the connection stays: %v", request, err)
		}
		other.send(cmd("GET", "k"))
		other.expect(bulkOf("v"))
	}
}

func TestSplitInput(t *testing.T) {
	input := cmd("SET", "k", strings.Repeat("v", 100)) + cmd("GET", "k") + cmd("SET", "k", "w", "EX", "100") +
		"PING\r\n" + cmd("MSET", "a", "1", "b", "2") + cmd("MGET", "a", "b", "c") + cmd("FOO", "bar") + cmd("GET")
	reply := func(step int) string {
		addr, _ := serve(t, newFake(), Config{})
		c := dial(t, addr)
		for rest := input; rest != ""; {
			n := min(step, len(rest))
			c.send(rest[:n])
			rest = rest[n:]
		}
		c.Conn.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c.r)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	whole := reply(len(input))
	for _, step := range []int{1, 2, 3, 7, 50} {
		if got := reply(step); got != whole {
			t.Errorf("in pieces of %d: %q, want %q", step, got, whole)
		}
	}
}

// start serves and returns what ends it and its result.
func start(t *testing.T, cfg Config) (addr string, cancel func(), done chan error) {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done = make(chan error, 1)
	go func() { done <- d.Serve(ctx, ln) }()
	return ln.Addr().String(), cancel, done
}

func await(t *testing.T, done chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatal("Serve did not return")
		return nil
	}
}

func TestShutdownLetsCommandsFinish(t *testing.T) {
	f := newFake()
	f.putting = make(chan string)
	addr, cancel, done := start(t, Config{Cache: f})
	idle, busy := dial(t, addr), dial(t, addr)
	idle.send(cmd("PING"))
	idle.expect("+PONG\r\n")
	value := pattern(1 << 20)
	busy.send(cmd("SET", "k", value)[:1000])
	<-f.putting
	cancel()
	idle.expectEnd()
	go io.WriteString(busy.Conn, cmd("SET", "k", value)[1000:])
	busy.expect(ok)
	busy.expectEnd()
	if err := await(t, done); err != nil {
		t.Errorf("Serve = %v", err)
	}
	if got, _ := f.value("k"); got != value {
		t.Errorf("k has %s", short(got))
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}

func TestShutdownEndsCommandsAfterGrace(t *testing.T) {
	f := newFake()
	f.putting = make(chan string)
	addr, cancel, done := start(t, Config{Cache: f, Grace: 20 * time.Millisecond})
	inPut, inBody := dial(t, addr), dial(t, addr)
	inBody.send(cmd("SET", "b", "vvvvv")[:30])
	<-f.putting
	inPut.send(cmd("SET", "a", "v"))
	cancel()
	if err := await(t, done); err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestServeReturnsWhatStopsAccepting(t *testing.T) {
	d, err := New(Config{Cache: newFake()})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := d.Serve(context.Background(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v, want net.ErrClosed", err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	addr, _ := serve(t, newFake(), Config{Metrics: reg})
	c := dial(t, addr)
	c.send(cmd("GET", "k") + cmd("FOO") + cmd("GET"))
	c.expect(null + "-ERR unknown command 'FOO', with args beginning with: \r\n" + "-ERR wrong number of arguments for 'get' command\r\n")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, fam := range families {
		for _, m := range fam.GetMetric() {
			name := fam.GetName()
			for _, l := range m.GetLabel() {
				name += "/" + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"infinicache_redis_connections": 1, "infinicache_redis_connections_total": 1,
		"infinicache_redis_misses_total": 1, "infinicache_redis_hits_total": 0,
		"infinicache_redis_commands_total/get": 2, "infinicache_redis_errors_total/ERR": 2,
	} {
		if v, found := got[name]; !found || v != want {
			t.Errorf("%s = %v (%v), want %v", name, v, found, want)
		}
	}
}
