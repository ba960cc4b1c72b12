package simnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is one end of a connection. It also has CloseWrite, as *net.TCPConn has.
type conn struct {
	net           *Net
	host          string
	local, remote Addr
	peer          *conn
	in, out       *pipe

	writing chan struct{} // holds one token while a Write runs, so that writes do not mix

	closed        bool
	shut          bool // CloseWrite was called
	aborted       bool // reset by this side or by a fault
	readDeadline  time.Time
	writeDeadline time.Time
	readable      signal
	writable      signal
}

// Read returns bytes that have arrived, or waits for some. After the peer's
// in-order end it returns io.EOF; after a reset, what came before the reset and
// then syscall.ECONNRESET.
func (c *conn) Read(b []byte) (int, error) {
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		var wakeAt time.Time
		if c.closed {
			return 0, c.error("read", net.ErrClosed)
		}
		if !n.isFrozen(c.host) {
			now := time.Now()
			switch {
			case expired(c.readDeadline, now):
				return 0, c.error("read", os.ErrDeadlineExceeded)
			case c.aborted:
				return 0, c.error("read", syscall.ECONNRESET)
			case len(b) == 0:
				return 0, nil
			}
			if k := c.in.read(b, now); k > 0 {
				c.peer.writable.wake()
				return k, nil
			}
			switch c.in.ended(now) {
			case finMark:
				return 0, io.EOF
			case rstMark:
				return 0, c.error("read", syscall.ECONNRESET)
			}
			wakeAt = earlierOf(c.readDeadline, c.in.next())
		}
		n.wait(&c.readable, wakeAt, nil)
	}
}

// Write sends a copy of b and returns once all of it is buffered. After the
// peer's close has arrived it returns syscall.EPIPE, after a reset
// syscall.ECONNRESET.
func (c *conn) Write(b []byte) (int, error) {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()

	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	written, counted := 0, false
	for {
		var wakeAt time.Time
		if c.closed {
			return written, c.error("write", net.ErrClosed)
		}
		if !n.isFrozen(c.host) {
			now := time.Now()
			if !counted && !expired(c.writeDeadline, now) && c.broken(now) == nil {
				counted = true
				n.countWrite(c)
				n.reach(c)
			}
			if expired(c.writeDeadline, now) {
				return written, c.error("write", os.ErrDeadlineExceeded)
			}
			if err := c.broken(now); err != nil {
				return written, c.error("write", err)
			}
			if k := min(len(b)-written, c.out.room(), maxSegment); k > 0 {
				written += c.send(b[written : written+k])
				n.reach(c)
			}
			if written == len(b) {
				return written, nil
			}
			if c.out.room() > 0 {
				continue
			}
			wakeAt = earlierOf(c.writeDeadline, earlierOf(c.in.fin.ahead(now), c.in.rst.ahead(now)))
		}
		n.wait(&c.writable, wakeAt, nil)
	}
}

// send passes a first part of b, no further than the next fault, into the pipe
// and returns its length.
func (c *conn) send(b []byte) int {
	b = b[:c.net.untilFault(c, len(b))]
	data := make([]byte, len(b))
	copy(data, b)
	c.net.carry(c, data)
	c.out.send(bytesMark, data)
	c.peer.readable.wake()
	return len(b)
}

// broken returns why nothing can be written any more.
func (c *conn) broken(now time.Time) error {
	switch {
	case c.aborted, c.in.rst != nil && c.in.rst.arrived(now):
		return syscall.ECONNRESET
	case c.shut:
		return syscall.EPIPE
	case c.out.gone && c.in.fin != nil && c.in.fin.arrived(now):
		return syscall.EPIPE
	}
	return nil
}

// Close ends both directions. What was written is still delivered. If bytes
// have arrived that were not read, the peer sees a reset after them.
func (c *conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.error("close", net.ErrClosed)
	}
	c.close()
	return nil
}

func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	if !c.aborted {
		if c.in.unread(time.Now()) {
			c.out.send(rstMark, nil)
		} else if c.out.fin == nil {
			c.out.send(finMark, nil)
		}
		c.in.abandon()
	}
	if c.peer.closed {
		delete(c.net.conns, c)
		delete(c.net.conns, c.peer)
	}
	c.wake()
}

// CloseWrite ends the direction to the peer, which reads io.EOF after the last
// byte; the other direction goes on.
func (c *conn) CloseWrite() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	switch {
	case c.closed:
		return c.error("close", net.ErrClosed)
	case c.aborted:
		return c.error("close", syscall.ECONNRESET)
	}
	c.shut = true
	if c.out.fin == nil {
		c.out.send(finMark, nil)
	}
	c.wake()
	return nil
}

// abort resets the connection as a fault does: this end fails at once, the
// other when the reset arrives there. It tells whether there was anything left
// to reset.
func (c *conn) abort() bool {
	if c.closed || c.aborted {
		return false
	}
	c.aborted = true
	c.in.abandon()
	c.out.send(rstMark, nil)
	c.wake()
	return true
}

func (c *conn) wake() {
	for _, end := range [2]*conn{c, c.peer} {
		end.readable.wake()
		end.writable.wake()
	}
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines; zero means none. A frozen host's calls
// notice a deadline when it thaws.
func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.setDeadlines(t, &c.readDeadline) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

func (c *conn) setDeadlines(t time.Time, deadlines ...*time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.error("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		*d = t
	}
	c.readable.wake()
	c.writable.wake()
	return nil
}

func (c *conn) error(op string, err error) error {
	return &net.OpError{Op: op, Net: network, Source: c.local, Addr: c.remote, Err: err}
}

func expired(deadline, now time.Time) bool {
	return !deadline.IsZero() && !deadline.After(now)
}
