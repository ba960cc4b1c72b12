package simcache

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/wire"
)

// frames counts what crosses the links of nodes, by type, both ways.
type frames struct {
	mu     sync.Mutex
	byType map[wire.Type]int
}

// taken is what was counted since the last call of it.
func (f *frames) taken() map[wire.Type]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.byType
	f.byType = map[wire.Type]int{}
	return was
}

// scanner finds the frames in one direction of a link.
type scanner struct {
	of   *frames
	skip int // bytes of no interest that come first
	head []byte
}

func (s *scanner) feed(b []byte) {
	for len(b) > 0 {
		if n := min(s.skip, len(b)); n > 0 {
			s.skip -= n
			b = b[n:]
			continue
		}
		n := min(wire.HeaderSize-len(s.head), len(b))
		s.head = append(s.head, b[:n]...)
		b = b[n:]
		if len(s.head) < wire.HeaderSize {
			continue
		}
		h, err := wire.ParseHeader(s.head)
		if err != nil {
			panic(err)
		}
		s.of.mu.Lock()
		s.of.byType[h.Type]++
		s.of.mu.Unlock()
		s.head, s.skip = s.head[:0], int(h.Meta)+int(h.Body)
	}
}

// countedListener counts the frames of the links that it accepts.
type countedListener struct {
	net.Listener
	of *frames
}

func (l countedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: nc, in: scanner{of: l.of, skip: wire.PrefaceSize}, out: scanner{of: l.of, skip: wire.PrefaceSize}}, nil
}

type countedConn struct {
	net.Conn
	in, out scanner
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.feed(b[:n])
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.feed(b[:n])
	return n, err
}

// TestFramesPerRequest compares the sleep handshake, which lets a proxy know that a
// node is awake, with the paper's preflight before every chunk. It prints what
// crosses the links of nodes for a GET of 10 MiB in 10+2.
func TestFramesPerRequest(t *testing.T) {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "frames per GET of 10 MiB, 10+2\tPING\tPONG\tFETCH and CREDIT\tBLOCK\tall but BLOCK\tsessions")
	for _, mode := range []struct {
		name  string
		paper bool
	}{{"sleep handshake", false}, {"preflight before every chunk", true}} {
		for _, pause := range []time.Duration{200 * time.Millisecond, 20 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				per, sessions := framesPerGet(t, mode.paper, pause)
				control := 0.0
				for kind, n := range per {
					if kind != wire.TypeBlock {
						control += n
					}
				}
				state := "awake"
				if pause > time.Second {
					state = "asleep"
				}
				fmt.Fprintf(table, "%s, nodes %s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\n", mode.name, state,
					per[wire.TypePing], per[wire.TypePong], per[wire.TypeFetch]+per[wire.TypeCredit], per[wire.TypeBlock], control, sessions)
				pings := per[wire.TypePing]
				if !mode.paper && state == "awake" && pings > 0 {
					t.Errorf("%.1f preflights per GET to awake nodes with the sleep handshake, want none", pings)
				}
				if mode.paper && state == "awake" && pings < 10 {
					t.Errorf("%.1f preflights per GET of ten chunks in the paper's mode, want one for each", pings)
				}
			})
		}
	}
	table.Flush()
	t.Log("\n" + out.String())
}

// framesPerGet reads an object many times with a pause between, and counts the
// frames and sessions of one read.
func framesPerGet(t *testing.T, paper bool, pause time.Duration) (map[wire.Type]float64, float64) {
	const counted = "proxy:7001"
	w := New(t, Config{Nodes: 14, Shape: object.Shape{Data: 10, Parity: 2}, Proxy: func(c *proxy.Config) {
		c.Pool.Address = counted
		c.Pool.Lifecycle.PingEveryRequest = paper
	}})
	l, err := w.Net.Listen(counted)
	if err != nil {
		t.Fatal(err)
	}
	seen := &frames{byType: map[wire.Type]int{}}
	served := make(chan error, 1)
	go func() { served <- w.Proxy.ServeLinks(t.Context(), countedListener{l, seen}, wire.RoleNode) }()
	t.Cleanup(func() {
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	c := w.Client()
	if _, err := c.PutBytes(t.Context(), "k", content(1, 10<<20)); err != nil {
		t.Fatal(err)
	}
	get := func() {
		t.Helper()
		time.Sleep(pause)
		if _, err := c.GetBytes(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	get()
	seen.taken()
	before, _ := w.Platform.Invocations()
	const gets = 50
	for range gets {
		get()
	}
	time.Sleep(pause) // what a read leads to later is its too
	after, _ := w.Platform.Invocations()
	per := map[wire.Type]float64{}
	for kind, n := range seen.taken() {
		per[kind] = float64(n) / gets
	}
	return per, float64(after-before) / gets
}
