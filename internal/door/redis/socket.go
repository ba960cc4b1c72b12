package redis

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBuffer also bounds an inline command and a header line.
	readBuffer  = 16 << 10
	writeBuffer = 16 << 10
)

// socket is a client's connection with its replies not yet sent, and with a
// limit on how long the client may keep the door waiting.
//
// One goroutine reads and writes; drain and close may be called by others.
type socket struct {
	net.Conn
	idle  time.Duration // between commands; 0 for ever
	stall time.Duration // within a command or a reply

	pressed func() bool // others wait for what this client holds
	since   time.Time   // when the window began in which input is measured
	window  int         // bytes of input in it

	received, sent *tally
	lastRead       atomic.Int64 // when input came last, in Unix nanoseconds

	in       *bufio.Reader // which reads from here
	between  bool          // the next byte begins a command
	deadline bool          // a read deadline is set

	out    []byte // replies to be sent, in order; at most writeBuffer
	mute   bool   // throw replies away
	werr   error  // the first error of writing
	vector [2][]byte
	bufs   net.Buffers // what is unsent of vector

	mu       sync.Mutex
	draining bool
	waiting  bool // a read for a new command is under way
}

// errDraining ends a connection that waits for a command when the door closes.
var errDraining = errors.New("door is closing")

// Read reads from the client. It first sends the replies that are due: the
// client may be waiting for them before it goes on.
func (s *socket) Read(p []byte) (int, error) {
	if err := s.Flush(); err != nil {
		return 0, err
	}
	if !s.between || s.in.Buffered() > 0 {
		return s.readOn(p)
	}
	s.since = time.Time{}
	if s.idle > 0 {
		s.deadline = true
		s.SetReadDeadline(time.Now().Add(s.idle))
	} else if s.deadline {
		s.deadline = false
		s.SetReadDeadline(time.Time{})
	}
	if !s.wait(true) {
		return 0, errDraining
	}
	n, err := s.read(p)
	s.wait(false)
	return n, err
}

// A client that moves less than pressBytes in pressPatience while others wait for
// what it holds is let go.
const (
	pressPatience = 3 * time.Second
	pressBytes    = 256 << 10
)

// errPressed ends a connection that is too slow for what it holds.
var errPressed = errors.New("client is slow, and others wait for what it holds")

// readOn reads more of a command that has begun.
func (s *socket) readOn(p []byte) (n int, err error) {
	s.deadline = true
	if s.since.IsZero() {
		s.since, s.window = time.Now(), 0
	}
	for waited := time.Duration(0); ; {
		step := min(s.stall-waited, pressPatience)
		s.SetReadDeadline(time.Now().Add(step))
		n, err = s.read(p)
		s.window += n
		if time.Since(s.since) >= pressPatience {
			if s.window < pressBytes && s.pressed() {
				return n, errPressed
			}
			s.since, s.window = time.Now(), 0
		}
		if waited += step; n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || waited >= s.stall {
			return n, err
		}
	}
}

func (s *socket) read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.received.add(int64(n))
	s.lastRead.Store(time.Now().UnixNano())
	return n, err
}

// wait notes whether the connection waits for a command; false means that it
// must not, because the door is closing.
func (s *socket) wait(on bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = on && !s.draining
	return !s.draining
}

// drain makes the connection end when, or as soon as, it waits for a command.
func (s *socket) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	if s.waiting {
		s.SetReadDeadline(time.Unix(1, 0))
	}
}

func (s *socket) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// close ends the connection whatever it does.
func (s *socket) close() { s.Conn.Close() }

// Write adds p to the replies. Once they outgrow the buffer they are sent,
// together with p and without copying it.
func (s *socket) Write(p []byte) (int, error) {
	if s.mute {
		return len(p), nil
	}
	if s.werr != nil {
		return 0, s.werr
	}
	if len(s.out)+len(p) <= writeBuffer {
		s.out = append(s.out, p...)
		return len(p), nil
	}
	pending := len(s.out)
	n, err := s.send(p)
	return max(0, n-pending), err
}

// Flush sends the replies.
func (s *socket) Flush() error {
	if s.werr != nil || len(s.out) == 0 {
		return s.werr
	}
	_, err := s.send(nil)
	return err
}

// reply lets add append a reply to those to be sent.
func (s *socket) reply(add func(dst []byte) []byte) {
	if s.mute || s.werr != nil {
		return
	}
	s.out = add(s.out)
	if len(s.out) >= writeBuffer {
		s.Flush()
	}
}

// send writes the replies and p. A client that takes some bytes now and then is
// slow; one that takes none for the stall time is gone.
func (s *socket) send(p []byte) (sent int, err error) {
	s.vector = [2][]byte{s.out, p}
	s.bufs = s.vector[:]
	for waited := time.Duration(0); len(s.bufs) > 0; {
		step := min(s.stall-waited, pressPatience)
		s.SetWriteDeadline(time.Now().Add(step))
		n, err := s.bufs.WriteTo(s.Conn)
		s.sent.add(n)
		sent += int(n)
		if err == nil {
			break
		}
		if waited += step; n > 0 {
			waited = 0
		}
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded) || waited >= s.stall:
			s.werr = err
		case n < pressBytes && step == pressPatience && s.pressed():
			s.werr = errPressed
		default:
			continue
		}
		break
	}
	s.vector = [2][]byte{} // p is the caller's
	s.release()
	return sent, s.werr
}

// release empties the buffer, and gives it up if a long reply made it grow.
func (s *socket) release() {
	if cap(s.out) > 2*writeBuffer {
		s.out = nil
	}
	s.out = s.out[:0]
}

// linger ends a connection on whose input the door gave up. Closing it with
// input unread would reset it, and the reply that explains might be lost; so
// the input is thrown away for a moment.
func (s *socket) linger() {
	const bytes, patience = 16 << 20, time.Second
	if s.Flush() != nil {
		return
	}
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	s.SetReadDeadline(time.Now().Add(patience))
	io.CopyN(io.Discard, s.Conn, bytes)
}
