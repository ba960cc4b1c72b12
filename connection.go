package infinicache

import (
	"context"
	"math"
	"net"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// connection is one link to a proxy and the exchanges under way on it. It is the
// link's Handler.
type connection struct {
	addr  string
	stall time.Duration
	link  *link.Conn

	mu      sync.Mutex
	streams map[uint32]stream
	last    uint32 // the newest stream
	heard   bool   // a frame has arrived
	err     error  // a *linkError once the link has ended

	// The block that is arriving. Of the goroutine that reads.
	filling *reading
	body    []byte
}

// stream is this side's end of an exchange. Its methods but awaits are called on
// the goroutine that reads the link, or after that has ended.
type stream interface {
	// frame takes a frame other than BLOCK; meta is valid during the call. The
	// stream is forgotten when over is true. An error ends the link.
	frame(h wire.Header, meta []byte) (over bool, err error)
	// broken says, once, that the link has ended: nothing more will come.
	broken(err error)
	// awaits tells whether the proxy owes an answer.
	awaits() bool
}

func newConnection(nc net.Conn, addr string, stall time.Duration) *connection {
	hello := wire.Preface(wire.RoleClient)
	return &connection{
		addr: addr, stall: stall, streams: make(map[uint32]stream),
		link: link.New(nc, link.Config{Stall: stall, Greeting: &hello, Watch: true}),
	}
}

// run serves the link until it ends, and then its streams.
func (c *connection) run(ctx context.Context) {
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { c.watch(stop) })
	err := c.link.Run(ctx, c)
	close(stop)
	watcher.Wait()

	c.mu.Lock()
	c.err = &linkError{c.addr, err}
	err = c.err
	left := c.streams
	c.streams = nil
	c.mu.Unlock()
	for _, s := range left {
		s.broken(err)
	}
}

// watch gives the link up when the proxy owes an answer and has been silent for
// too long.
func (c *connection) watch(stop <-chan struct{}) {
	tick := time.NewTicker(max(c.stall/4, time.Millisecond))
	defer tick.Stop()
	idle := time.Now() // when nothing was owed last
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		if !c.awaits() {
			idle = time.Now()
		}
		if time.Since(idle) >= c.stall && c.link.Silent() >= c.stall {
			c.link.Close(wire.Errorf(wire.CodeTimeout, "silent for %v", c.stall))
			return
		}
	}
}

func (c *connection) awaits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		if s.awaits() {
			return true
		}
	}
	return false
}

// begin opens a new stream with a frame. The error is the link's end.
func (c *connection) begin(s stream, t wire.Type, m wire.Message) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.last == math.MaxUint32 { // numbers are used up; the next link begins anew
		c.link.Close(nil)
		return 0, &linkError{c.addr, wire.ErrClosed}
	}
	c.last++
	// Under the mutex, because the proxy is to see streams in rising order. Send
	// only queues.
	if err := c.link.Send(t, wire.CodeOK, c.last, m); err != nil {
		return 0, &linkError{c.addr, err}
	}
	c.streams[c.last] = s
	return c.last, nil
}

// forget drops a stream: what still arrives on it is thrown away. It is false if
// the stream was over already.
func (c *connection) forget(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.streams[id]
	delete(c.streams, id)
	return ok
}

// ended is a *linkError if the link has ended or is about to, nil otherwise.
func (c *connection) ended() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := c.link.Err(); err != nil {
		return &linkError{c.addr, err}
	}
	return nil
}

// wasHeard tells whether the proxy has ever sent a frame.
func (c *connection) wasHeard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// find returns the stream; nil if it is over. The error is that of a peer that
// speaks on a stream that was never begun.
func (c *connection) find(id uint32) (stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = true
	if id == 0 || id > c.last {
		return nil, wire.Errorf(wire.CodeProtocol, "stream %d was never begun", id)
	}
	return c.streams[id], nil
}

// Frame implements link.Handler. After an error there is nothing more to say.
func (c *connection) Frame(h wire.Header, meta []byte) error {
	err := c.frame(h, meta)
	if err != nil {
		c.link.Close(err)
	}
	return err
}

func (c *connection) frame(h wire.Header, meta []byte) error {
	if h.Stream == 0 {
		return goodbye(h, meta)
	}
	s, err := c.find(h.Stream)
	if s == nil || err != nil {
		return err
	}
	over, err := s.frame(h, meta)
	if over && err == nil { // else it hears of the link's end
		c.forget(h.Stream)
	}
	return err
}

// goodbye is why the proxy closes the link.
func goodbye(h wire.Header, meta []byte) error {
	var d wire.Done
	if h.Type != wire.TypeDone {
		return unexpected(h)
	}
	if err := d.Decode(meta); err != nil {
		return err
	}
	if err := d.Err(h.Code); err != nil {
		return err
	}
	return wire.ErrClosed
}

// unexpected is the error of a frame that has no place in its exchange.
func unexpected(h wire.Header) error {
	return wire.Errorf(wire.CodeProtocol, "%v frame on stream %d is out of place", h.Type, h.Stream)
}

// Buffer implements link.Handler.
func (c *connection) Buffer(id uint32, b wire.Block, n int, vec [][]byte) [][]byte {
	s, err := c.find(id)
	if s == nil && err == nil {
		return vec // given up; the blocks were under way
	}
	r, ok := s.(*reading)
	if err == nil && (!ok || !r.wants(b)) {
		err = wire.Errorf(wire.CodeProtocol, "block %d of chunk %d on stream %d was not asked for", b.Index, b.Chunk, id)
	}
	if err != nil {
		c.link.Close(err)
		return vec
	}
	if r.arrives(b) && c.forget(id) {
		r.pin.reads.Add(-1)
	}
	mem := r.sink.Buffer(b, n)
	if len(mem) == 0 {
		return vec
	}
	c.filling, c.body = r, mem
	return append(vec, mem)
}

// Block implements link.Handler.
func (c *connection) Block(_ uint32, b wire.Block, _ int, err error) {
	r, body := c.filling, c.body
	c.filling, c.body = nil, nil
	r.sink.Block(b, body, err)
}
