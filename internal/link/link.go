// Package link moves frames over one connection: a reader that hands each frame
// to a Handler and reads bodies straight into memory the handler names, and a
// writer that takes frames from a queue and writes many in one call. It knows
// frames and their limits, not what they mean.
package link

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Handler takes what arrives on a Conn. All calls come from the one goroutine
// that reads, so a call that blocks stops the link.
type Handler interface {
	// Frame takes a frame other than BLOCK. meta is valid during the call only.
	// An error ends the link with it, after what is queued was written, so that
	// the handler may send a last word first.
	Frame(h wire.Header, meta []byte) error
	// Buffer names the memory for the n bytes of a block's body by appending to
	// vec; the appended slices have n bytes in all. Appending nothing has the
	// body thrown away, and Block is not called.
	Buffer(stream uint32, b wire.Block, n int, vec [][]byte) [][]byte
	// Block says that the memory from Buffer is filled or, with an error, that
	// it never will be and is no longer written to; the link then ends.
	Block(stream uint32, b wire.Block, n int, err error)
}

// Releaser is told, once, that a block's memory is no longer read.
type Releaser interface{ Release() }

// Config says how a Conn behaves. The zero value is good.
type Config struct {
	// Stall is how long a body under way, or a write, may make no progress
	// before the link is given up. Default 30 s.
	Stall time.Duration
	// MaxQueue bounds the frames that wait to be written, and MaxQueueBytes the
	// bytes of those without a body; blocks are bounded by the credit that their
	// senders need. A peer that makes more wait is not reading and loses the
	// link. Defaults 65,536 and 16 MiB.
	MaxQueue, MaxQueueBytes int
	// Greeting, if not nil, is the preface that this side still has to send,
	// and makes the reader expect the other side's, of role Peer.
	Greeting *[wire.PrefaceSize]byte
	// Peer is whom this side dialled. Default a proxy.
	Peer wire.Role
	// Watch has the link end within some 5 s when the other side's machine is gone
	// without a word; it sets the keep-alive of a TCP connection. A process that is
	// busy or stopped is not gone: its system answers. A machine that is frozen is, so
	// links to functions that may be are not watched.
	Watch bool
}

// Conn is one link. Make it with New, then Run it; Send and SendBlock may be
// called from any goroutine, from New on.
type Conn struct {
	nc     net.Conn
	cfg    Config
	socket syscall.RawConn // that is watched; nil if none is

	mu     sync.Mutex
	queue  []frame
	bytes  int   // of the queued frames without a body
	closed error // set once; Send refuses from then on
	finish error // if set: write what is queued, then close because of it

	wake  chan struct{} // capacity 1: the queue is not empty, or closed is set
	ended chan struct{} // closed when Run has ended
	heard atomic.Int64  // when something last arrived, in ns since start
	start time.Time
}

// frame is a queued frame: control frames are whole in ctl, blocks have their
// header in head and their body in body and more.
type frame struct {
	ctl   []byte
	head  [wire.HeaderSize + wire.BlockMetaSize]byte
	body  []byte
	more  [][]byte
	owner Releaser
}

// New makes a link of a connection, which it owns from then on.
func New(nc net.Conn, cfg Config) *Conn {
	if cfg.Stall == 0 {
		cfg.Stall = 30 * time.Second
	}
	if cfg.MaxQueue == 0 {
		cfg.MaxQueue = 1 << 16
	}
	if cfg.MaxQueueBytes == 0 {
		cfg.MaxQueueBytes = 16 << 20
	}
	if cfg.Peer == 0 {
		cfg.Peer = wire.RoleProxy
	}
	c := &Conn{nc: nc, cfg: cfg, wake: make(chan struct{}, 1), ended: make(chan struct{}), start: time.Now()}
	if cfg.Watch {
		c.socket = keepAlive(nc)
	}
	if cfg.Greeting != nil {
		c.queue = append(c.queue, frame{ctl: cfg.Greeting[:]})
		c.wake <- struct{}{}
	}
	return c
}

// Send queues a frame without a body. It never blocks. The error is why the
// link is closed, and matches wire.ErrClosed if nothing else.
func (c *Conn) Send(t wire.Type, code wire.Code, stream uint32, m wire.Message) error {
	return c.enqueue(frame{ctl: wire.AppendFrame(make([]byte, 0, 64), t, code, stream, m)})
}

// SendBlock queues a block whose bytes are body and then more. They must not
// change until owner, which may be nil, is released; that happens once, even
// when the block is refused. It never blocks.
func (c *Conn) SendBlock(stream uint32, b wire.Block, body []byte, more [][]byte, owner Releaser) error {
	n := len(body)
	for _, m := range more {
		n += len(m)
	}
	f := frame{body: body, more: more, owner: owner}
	wire.Header{Type: wire.TypeBlock, Stream: stream, Meta: wire.BlockMetaSize, Body: uint32(n)}.Put(f.head[:])
	b.Put(f.head[wire.HeaderSize:])
	err := c.enqueue(f)
	if err != nil && owner != nil {
		owner.Release()
	}
	return err
}

// Drop takes the blocks of a stream out of the queue and releases them. Those that
// are being written are sent.
func (c *Conn) Drop(stream uint32) {
	var dropped []frame
	c.mu.Lock()
	c.queue = slices.DeleteFunc(c.queue, func(f frame) bool {
		if f.ctl != nil {
			return false
		}
		h, err := wire.ParseHeader(f.head[:])
		if err != nil || h.Stream != stream {
			return false
		}
		dropped = append(dropped, f)
		return true
	})
	c.mu.Unlock()
	release(dropped)
}

func (c *Conn) enqueue(f frame) error {
	c.mu.Lock()
	if err := c.finish; c.closed == nil && err != nil {
		c.mu.Unlock()
		return err
	}
	if n := len(c.queue); c.closed == nil && (n >= c.cfg.MaxQueue || c.bytes+len(f.ctl) > c.cfg.MaxQueueBytes) {
		waiting := c.bytes
		c.mu.Unlock()
		c.Close(wire.Errorf(wire.CodeBusy, "%d frames, %d bytes beside blocks, wait for a peer that does not read", n, waiting))
		c.mu.Lock()
	}
	if err := c.closed; err != nil {
		c.mu.Unlock()
		return err
	}
	c.queue = append(c.queue, f)
	c.bytes += len(f.ctl)
	c.mu.Unlock()
	c.signal()
	return nil
}

func (c *Conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close ends the link at once; what is queued is dropped. The first error is
// the one that counts; nil means wire.ErrClosed.
func (c *Conn) Close(err error) {
	if err == nil {
		err = wire.ErrClosed
	}
	c.mu.Lock()
	first := c.closed == nil
	if first {
		c.closed = err
	}
	c.mu.Unlock()
	if first {
		c.nc.Close()
		c.signal()
	}
}

// Finish writes what is queued, then closes the link because of err; nil means
// wire.ErrClosed. Frames sent after it are refused.
func (c *Conn) Finish(err error) {
	if err == nil {
		err = wire.ErrClosed
	}
	c.mu.Lock()
	if c.finish == nil {
		c.finish = err
	}
	c.mu.Unlock()
	c.signal()
}

// Err is why the link was closed, nil while it is open.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Silent is how long nothing has arrived.
func (c *Conn) Silent() time.Duration {
	return time.Since(c.start) - time.Duration(c.heard.Load())
}

// RemoteAddr is the other side's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// lastWords is how long what is queued may take to be written when the context of
// Run has ended.
const lastWords = 250 * time.Millisecond

// Run reads and writes until the link ends, one way or another, and returns why
// after everything it started has ended and every queued block was released.
// The end of the stream between two frames is wire.ErrClosed. When ctx ends, what
// is queued is written first, if that takes no longer than a moment.
func (c *Conn) Run(ctx context.Context, h Handler) error {
	stop := context.AfterFunc(ctx, func() {
		why := context.Cause(ctx)
		c.Finish(why)
		patience := time.AfterFunc(lastWords, func() { c.Close(why) })
		<-c.ended
		patience.Stop()
	})
	defer stop()
	defer close(c.ended)
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.Close(c.write())
	}()
	var watching sync.WaitGroup
	if c.socket != nil {
		watching.Go(func() { c.watch(written) })
	}
	if said, err := c.read(h); said {
		c.Finish(err)
	} else {
		c.Close(err)
	}
	<-written
	watching.Wait()
	return c.Err()
}

// Greet is the accepting side's part of the preface: it reads the dialler's,
// answers with its own role, as, and says what the dialler is: a client or node
// where as is a proxy, else a proxy. It gives up after patience.
func Greet(nc net.Conn, as wire.Role, patience time.Duration) (wire.Role, error) {
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	var b [wire.PrefaceSize]byte
	if _, err := readFull(nc, b[:]); err != nil {
		return 0, wire.Errorf(wire.CodeProtocol, "no preface: %v", err)
	}
	role, err := wire.ParsePreface(b)
	if err == nil && (role == wire.RoleProxy) == (as == wire.RoleProxy) {
		err = wire.Errorf(wire.CodeProtocol, "a %v does not dial a %v", role, as)
	}
	// The answer names this side's version, so it helps a dialler of another
	// version of this protocol; a dialler of another protocol gets nothing.
	if err == nil || errors.Is(err, wire.ErrVersion) {
		answer := wire.Preface(as)
		if _, werr := nc.Write(answer[:]); err == nil && werr != nil {
			err = werr
		}
	}
	if err != nil {
		return 0, err
	}
	return role, nc.SetDeadline(time.Time{})
}

// Touch is the dialling side's part of the preface and no more: it reports whether
// a proxy answers that speaks this protocol. nc's own deadline bounds it.
func Touch(nc net.Conn, as wire.Role) error {
	hello := wire.Preface(as)
	if _, err := nc.Write(hello[:]); err != nil {
		return err
	}
	var b [wire.PrefaceSize]byte
	if _, err := readFull(nc, b[:]); err != nil {
		return wire.Errorf(wire.CodeProtocol, "no preface: %v", err)
	}
	return checkPeer(b, wire.RoleProxy)
}
