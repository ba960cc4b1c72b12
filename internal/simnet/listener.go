package simnet

import (
	"net"
	"time"
)

// listener is the accepting end of an address.
type listener struct {
	net    *Net
	host   string
	addr   Addr
	queue  []*conn // connected, not yet accepted
	closed bool
}

// Accept waits for a connection, and for the host to thaw.
func (l *listener) Accept() (net.Conn, error) {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case n.closed:
			return nil, l.error(ErrClosed)
		case l.closed:
			return nil, l.error(net.ErrClosed)
		case len(l.queue) > 0 && !n.isFrozen(l.host):
			c := l.queue[0]
			l.queue = l.queue[1:]
			n.changed.wake() // a dial may wait for room
			return c, nil
		}
		n.wait(&n.changed, time.Time{}, nil)
	}
}

// Close frees the address and resets the connections that nobody accepted.
func (l *listener) Close() error {
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return l.error(net.ErrClosed)
	}
	l.closed = true
	for _, c := range l.queue {
		c.abort()
		c.close()
	}
	l.queue = nil
	if n.listeners[string(l.addr)] == l {
		delete(n.listeners, string(l.addr))
	}
	n.changed.wake()
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) error(err error) error {
	return &net.OpError{Op: "accept", Net: network, Addr: l.addr, Err: err}
}
