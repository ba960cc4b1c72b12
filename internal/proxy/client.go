package proxy

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// Limits of one client's link.
const (
	maxOpens = 1024 // versions pinned at a time
	maxReads = 4096 // READs under way
	maxPuts  = 256  // PUTs under way
)

// errGoingDown refuses what begins while the proxy goes down. Asked again, the next
// one may answer.
var errGoingDown = wire.Errorf(wire.CodeBusy, "the proxy goes down")

// clients are the links of the chunk door.
type clients struct {
	mu       sync.Mutex
	open     map[*client]struct{}
	draining bool
}

// drain refuses new requests, waits until nothing is under way or the grace is
// over, and closes the links.
func (cs *clients) drain(grace time.Duration) {
	cs.mu.Lock()
	cs.draining = true
	open := make([]*client, 0, len(cs.open))
	for c := range cs.open {
		open = append(open, c)
	}
	cs.mu.Unlock()
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	for _, c := range open {
		select {
		case <-c.quiet():
		case <-deadline.C:
			deadline.Reset(0)
		}
	}
	for _, c := range open {
		_ = c.conn.Send(wire.TypeDone, wire.CodeClosed, 0, &wire.Done{Detail: "the proxy goes down"})
		c.conn.Finish(nil)
	}
}

// client is one link of the chunk door.
type client struct {
	p      *Proxy
	conn   *link.Conn
	share  *share
	queued progress        // of blocks to the client
	ctx    context.Context // of the link

	mu    sync.Mutex
	opens map[uint32]*opened
	reads map[uint32]*relay
	puts  map[uint32]*clientPut
	idle  []chan struct{} // closed when nothing is under way

	waiting []*relay       // READs that wait for their share, oldest first
	starter sync.WaitGroup // starts them, while there are any

	filling *clientPut // whose block is being read; the reader's own
	block   *relayBlock
}

// opened is a version that the client reads.
type opened struct {
	pin   *catalog.Pin
	bytes int64 // relayed; guarded by client.mu
}

// serveClient runs the link of a client until it ends.
func (p *Proxy) serveClient(nc net.Conn) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(wire.ErrClosed)
	c := &client{
		p: p, conn: link.New(nc, p.cfg.Client), share: p.relay.newShare(), ctx: ctx,
		opens: map[uint32]*opened{}, reads: map[uint32]*relay{}, puts: map[uint32]*clientPut{},
	}
	cs := &p.clients
	cs.mu.Lock()
	full := len(cs.open) >= p.cfg.MaxClients
	if !full && !cs.draining {
		if cs.open == nil {
			cs.open = map[*client]struct{}{}
		}
		cs.open[c] = struct{}{}
	}
	refuse := full || cs.draining
	cs.mu.Unlock()
	if refuse {
		p.metrics.refused.Add(1)
		_ = c.conn.Send(wire.TypeDone, wire.CodeBusy, 0, &wire.Done{Detail: "no more clients are served"})
		c.conn.Finish(wire.ErrBusy)
	}
	err := c.conn.Run(ctx, c)
	cancel(wire.ErrClosed)
	c.starter.Wait()
	cs.mu.Lock()
	delete(cs.open, c)
	cs.mu.Unlock()
	c.end()
	p.log.Debug("client gone", "remote", nc.RemoteAddr(), "err", err)
}

// end gives up whatever the client had under way.
func (c *client) end() {
	c.mu.Lock()
	opens, reads, puts := c.opens, c.reads, c.puts
	relayed := make([]int64, 0, len(opens))
	for _, o := range opens {
		relayed = append(relayed, o.bytes)
	}
	c.opens, c.reads, c.puts = nil, nil, nil
	c.settleLocked()
	c.mu.Unlock()
	for _, r := range reads {
		r.cancel()
	}
	for _, u := range puts {
		u.up.abort(wire.ErrClosed)
	}
	// A client that leaves without a CLOSE has had what it has had.
	for _, n := range relayed {
		if n > 0 {
			c.p.metrics.hit(n)
		}
	}
	for _, o := range opens {
		o.pin.Release()
	}
}

// quiet is closed when nothing of the client is under way.
func (c *client) quiet() <-chan struct{} {
	ch := make(chan struct{})
	c.mu.Lock()
	c.idle = append(c.idle, ch)
	c.settleLocked()
	c.mu.Unlock()
	return ch
}

func (c *client) settleLocked() {
	if len(c.opens)+len(c.reads)+len(c.puts) > 0 {
		return
	}
	for _, ch := range c.idle {
		close(ch)
	}
	c.idle = nil
}

// done ends a stream.
func (c *client) done(stream uint32, err error, value uint64) {
	code, d := wire.DoneOf(err)
	d.Value = value
	_ = c.conn.Send(wire.TypeDone, code, stream, d)
}

// Frame takes what the client says. An error ends the link: the client broke
// the protocol. What is wrong with one request ends its stream only.
func (c *client) Frame(h wire.Header, meta []byte) error {
	err := c.frame(h, meta)
	if err != nil {
		c.p.metrics.refused.Add(1)
		c.p.log.Info("client broke the protocol", "remote", c.conn.RemoteAddr(), "err", err)
		code, d := wire.DoneOf(err)
		_ = c.conn.Send(wire.TypeDone, code, 0, d)
	}
	return err
}

func (c *client) frame(h wire.Header, meta []byte) error {
	if h.Stream == 0 {
		return wire.Errorf(wire.CodeProtocol, "%v on stream 0", h.Type)
	}
	switch h.Type {
	case wire.TypeOpen, wire.TypeStat, wire.TypeDelete:
		var m wire.Open
		if err := m.Decode(meta); err != nil {
			if wire.CodeOf(err) == wire.CodeKey {
				c.done(h.Stream, err, 0)
				return nil
			}
			return err
		}
		switch h.Type {
		case wire.TypeOpen:
			c.open(h.Stream, m.Key)
		case wire.TypeStat:
			c.stat(h.Stream, m.Key)
		default:
			existed, _, err := c.p.Delete(c.ctx, m.Key, false)
			value := uint64(0)
			if existed {
				value = 1
			}
			c.done(h.Stream, err, value)
		}
	case wire.TypeRead:
		var m wire.Read
		if err := m.Decode(meta); err != nil {
			return err
		}
		c.read(h.Stream, &m)
	case wire.TypeClose:
		c.close(h.Stream, h.Code)
	case wire.TypePut:
		var m wire.Put
		if err := m.Decode(meta); err != nil {
			if wire.CodeOf(err) == wire.CodeKey {
				c.done(h.Stream, err, 0)
				return nil
			}
			return err
		}
		c.put(h.Stream, &m)
	case wire.TypeStripe:
		var m wire.Stripe
		if err := m.Decode(meta); err != nil {
			return err
		}
		c.stripe(h.Stream, &m)
	case wire.TypeCommit:
		var m wire.Commit
		if err := m.Decode(meta); err != nil {
			return err
		}
		c.commit(h.Stream, &m)
	case wire.TypeCancel:
		c.cancel(h.Stream)
	default:
		return wire.Errorf(wire.CodeProtocol, "%v is not for a proxy to receive from a client", h.Type)
	}
	return nil
}

// open pins the newest version of a key for the client.
func (c *client) open(stream uint32, key string) {
	pin, err := c.p.open(key)
	if err != nil {
		c.done(stream, err, 0)
		return
	}
	c.mu.Lock()
	_, twice := c.opens[stream]
	draining := c.p.clients.isDraining()
	ok := !twice && c.opens != nil && len(c.opens) < maxOpens && !draining
	if ok {
		c.opens[stream] = &opened{pin: pin}
	}
	c.mu.Unlock()
	if !ok {
		pin.Release()
		switch {
		case twice:
			c.done(stream, wire.Errorf(wire.CodeProtocol, "OPEN of stream %d, which is open", stream), 0)
		case draining:
			c.done(stream, errGoingDown, 0)
		default:
			c.done(stream, wire.Errorf(wire.CodeBusy, "a link has at most %d objects open", maxOpens), 0)
		}
		return
	}
	ready, gone := c.p.masks(pin)
	rec := pin.Record()
	_ = c.conn.Send(wire.TypeOpened, wire.CodeOK, stream, &wire.Opened{
		Record: rec, ExpiresIn: expiresIn(rec.Expires), Ready: ready, Gone: gone,
	})
}

func (cs *clients) isDraining() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.draining
}

// expiresIn turns an instant of the proxy's clock into what remains, at least
// 1 ms; 0 is never.
func expiresIn(at int64) int64 {
	if at == 0 {
		return 0
	}
	return max(1, at-time.Now().UnixMilli())
}

func (c *client) stat(stream uint32, key string) {
	rec, err := c.p.describe(key)
	if err != nil {
		c.done(stream, err, 0)
		return
	}
	_ = c.conn.Send(wire.TypeOpened, wire.CodeOK, stream, &wire.Opened{Record: rec, ExpiresIn: expiresIn(rec.Expires)})
}

// close releases a version; code tells how its reads went.
func (c *client) close(stream uint32, code wire.Code) {
	c.mu.Lock()
	o := c.opens[stream]
	delete(c.opens, stream)
	var relayed int64
	if o != nil {
		relayed = o.bytes
	}
	c.settleLocked()
	c.mu.Unlock()
	if o == nil {
		return
	}
	rec := o.pin.Record()
	if code == wire.CodeOK {
		c.p.metrics.hit(relayed)
	} else {
		c.readFailed(o, rec, code)
	}
	o.pin.Release()
}

// readFailed settles a read that the client says has failed. Its word that an
// object is lost is checked against what the proxy knows before the object goes.
func (c *client) readFailed(o *opened, rec wire.Record, code wire.Code) {
	cause := missCause(code)
	if cause == wire.CauseUnexplained {
		return
	}
	if cause == wire.CauseLost && !c.p.beyondRepair(o.pin) {
		cause = wire.CauseSlow
	}
	_ = c.p.readFailed(rec.Key, rec.Version, codeOfCause(cause))
}

func codeOfCause(cause wire.Cause) error {
	switch cause {
	case wire.CauseLost:
		return wire.ErrLost
	case wire.CauseUnheard:
		return wire.ErrUnheard
	case wire.CauseBreaker:
		return wire.ErrBreaker
	default:
		return wire.ErrTimeout
	}
}

// cancel gives up a READ or a PUT.
func (c *client) cancel(stream uint32) {
	c.mu.Lock()
	r, u := c.reads[stream], c.puts[stream]
	delete(c.reads, stream)
	delete(c.puts, stream)
	c.settleLocked()
	c.mu.Unlock()
	if r != nil {
		r.cancel()
	}
	if u != nil {
		u.up.abort(wire.ErrCanceled)
	}
}

// Buffer names memory for a block of a PUT.
func (c *client) Buffer(stream uint32, _ wire.Block, n int, vec [][]byte) [][]byte {
	c.mu.Lock()
	u := c.puts[stream]
	c.mu.Unlock()
	if u == nil || !u.admit(n) {
		return vec // over, or never begun: blocks under way when it ended
	}
	c.filling = u
	c.block = c.p.newBlock(n, u.sent)
	return append(vec, c.block.mem[:n])
}

// Block passes a block of a PUT on.
func (c *client) Block(_ uint32, b wire.Block, n int, err error) {
	u, block := c.filling, c.block
	c.filling, c.block = nil, nil
	if err != nil {
		block.Release()
		return
	}
	if err := u.up.block(b, block.mem[:n], block); err != nil {
		u.finish(err, 0)
	}
}
