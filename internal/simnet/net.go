// Package simnet is a network in memory for tests: hosts by name, connections
// that behave as TCP's do, and faults by rules that print and parse as text.
//
// A connection buffers a bounded number of bytes each way, so a writer blocks
// when its peer does not read. It has deadlines, half-close, and resets. All
// waiting is on channels and timers that are made where the waiting starts, so
// a Net works inside a testing/synctest bubble, where its delays cost no time,
// as it does outside. One that is used in a bubble must get its listeners,
// connections and rules there.
//
// An address is a host, or a host, a colon and a port that is a number:
// "proxy", "node/3", "proxy:6378". Rules speak of hosts and leave the port out.
package simnet

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// Buffer is how many bytes each direction of a connection holds, in flight
	// and received but unread together.
	Buffer = 256 << 10

	// backlog is how many connections wait at a listener to be accepted; a
	// further dial waits for room.
	backlog = 128

	// firstPort is the first of the ports given to those who asked for none.
	firstPort = 40000
)

// ErrClosed is what dialling, listening and waiting for accept return after
// Net.Close. It matches net.ErrClosed.
var ErrClosed = fmt.Errorf("simulated network: %w", net.ErrClosed)

// Net is one network. It is safe for concurrent use.
type Net struct {
	seed uint64

	// mu guards everything below and in the listeners, connections, pipes and
	// faults of the network. Nobody waits while holding it.
	mu        sync.Mutex
	closed    bool
	port      int
	listeners map[string]*listener // by address
	conns     map[*conn]struct{}   // ends whose connection is still open at one side
	frozen    map[string]bool      // hosts frozen by Freeze
	faults    []*Fault
	changed   signal // for dials and accepts that wait
}

// New returns a network without hosts. The seed decides what rules leave to
// chance.
func New(seed uint64) *Net {
	return &Net{
		seed:      seed,
		port:      firstPort,
		listeners: map[string]*listener{},
		conns:     map[*conn]struct{}{},
		frozen:    map[string]bool{},
	}
}

// Listen opens addr for dials. Without a port, or with port 0, the host's bare
// name stays dialable and port 0 is replaced by a free one. An address in use
// is syscall.EADDRINUSE.
func (n *Net) Listen(addr string) (net.Listener, error) {
	host, port, err := split(addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	if port == "0" {
		addr = n.ephemeral(host)
	}
	if n.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: Addr(addr), Err: syscall.EADDRINUSE}
	}
	l := &listener{net: n, host: host, addr: Addr(addr)}
	n.listeners[addr] = l
	n.changed.wake()
	return l, nil
}

// Dial connects host from to the listener at to. It takes one round trip; it
// waits while either host is frozen at the wrong moment, the path is cut, or
// the listener's backlog is full. Nobody listening is syscall.ECONNREFUSED.
func (n *Net) Dial(ctx context.Context, from, to string) (net.Conn, error) {
	c, err := n.dial(ctx, from, to)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: Addr(to), Err: err}
	}
	return c, nil
}

// Dialer returns Dial for one host, in the form that HTTP and Redis clients
// take. The network argument is ignored.
func (n *Net) Dialer(from string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		return n.Dial(ctx, from, addr)
	}
}

func (n *Net) dial(ctx context.Context, from, to string) (*conn, error) {
	fromHost, fromPort, err := split(from)
	if err != nil {
		return nil, err
	}
	toHost, _, err := split(to)
	if err != nil {
		return nil, err
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	var arrival time.Time // of the listener's answer; zero until the request left
	counted, held := false, false
	for {
		if n.closed {
			return nil, ErrClosed
		}
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		now := time.Now()
		var wakeAt time.Time
		switch {
		case n.isFrozen(fromHost):
		case n.isCut(fromHost, toHost) || n.isCut(toHost, fromHost):
			if !held {
				held = true
				n.countCut(fromHost, toHost)
				n.countCut(toHost, fromHost)
			}
			arrival = time.Time{} // sent again once the path is open
		case arrival.IsZero():
			if !counted {
				counted = true
				if n.refuses(fromHost, toHost) {
					return nil, syscall.ECONNREFUSED
				}
			}
			arrival = now.Add(n.latency(fromHost, toHost) + n.latency(toHost, fromHost))
			continue
		case now.Before(arrival):
			wakeAt = arrival
		default:
			l := n.listeners[to]
			if l == nil {
				return nil, syscall.ECONNREFUSED
			}
			if len(l.queue) < backlog {
				local := from
				if fromPort == "" || fromPort == "0" {
					local = n.ephemeral(fromHost)
				}
				near, far := n.connect(fromHost, local, toHost, to)
				l.queue = append(l.queue, far)
				n.changed.wake()
				return near, nil
			}
		}
		n.wait(&n.changed, wakeAt, ctx.Done())
	}
}

// connect makes both ends of a connection.
func (n *Net) connect(fromHost, from, toHost, to string) (near, far *conn) {
	out := &pipe{net: n, from: fromHost, to: toHost}
	in := &pipe{net: n, from: toHost, to: fromHost}
	near = &conn{net: n, host: fromHost, local: Addr(from), remote: Addr(to), in: in, out: out, writing: make(chan struct{}, 1)}
	far = &conn{net: n, host: toHost, local: Addr(to), remote: Addr(from), in: out, out: in, writing: make(chan struct{}, 1)}
	near.peer, far.peer = far, near
	n.conns[near] = struct{}{}
	n.conns[far] = struct{}{}
	return near, far
}

// Open returns how many connections have an end that was not closed.
func (n *Net) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns) / 2
}

// Close closes every listener and both ends of every connection and stops the
// rules' timers. What waits on the network, frozen or not, returns.
func (n *Net) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.closed = true
	for _, f := range n.faults {
		f.stop()
	}
	for c := range n.conns {
		c.close()
	}
	clear(n.listeners)
	n.changed.wake()
}

// ephemeral returns host with a port that nobody has.
func (n *Net) ephemeral(host string) string {
	for {
		addr := host + ":" + strconv.Itoa(n.port)
		n.port++
		if n.listeners[addr] == nil {
			return addr
		}
	}
}

// wait gives up the lock until s is woken, the instant at (zero for never), or
// done is closed, and takes it again.
func (n *Net) wait(s *signal, at time.Time, done <-chan struct{}) {
	woken := s.channel()
	n.mu.Unlock()
	defer n.mu.Lock()
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-woken:
	case <-due:
	case <-done:
	}
}

// signal wakes all who wait for a change. Its channel is made by the first who
// waits, so that it belongs to the waiter's bubble.
type signal struct{ ch chan struct{} }

func (s *signal) channel() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) wake() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

const network = "sim"

// Addr is an address in a Net.
type Addr string

func (Addr) Network() string  { return network }
func (a Addr) String() string { return string(a) }

// split parts an address into host and port; port is empty when there is none.
func split(addr string) (host, port string, err error) {
	host = addr
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		host, port = addr[:i], addr[i+1:]
		if p, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(p, 10) != port {
			return "", "", fmt.Errorf("address %q: port is not a number up to 65535", addr)
		}
	}
	if !validHost(host) || strings.Contains(host, Any) {
		return "", "", fmt.Errorf("address %q: bad host name", addr)
	}
	return host, port, nil
}
