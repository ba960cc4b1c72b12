package node

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/simnet"
	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// poolKey is the fake proxy's.
var poolKey = []byte("key of the pool in tests")

// world is a node, and a proxy that does what the test says, in a bubble.
type world struct {
	t     *testing.T
	net   *simnet.Net
	node  *Node
	ln    net.Listener
	links chan *peer
	wg    sync.WaitGroup
}

// inWorld runs a test in a bubble and checks that nothing is left behind: the
// bubble ends only when all its goroutines have.
func inWorld(t *testing.T, cfg Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg)
		test(w)
		w.close()
	})
}

func newWorld(t *testing.T, cfg Config) *world {
	w := &world{t: t, net: simnet.New(1), links: make(chan *peer, 16)}
	dialer := w.net.Dialer("node")
	cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialer(ctx, "tcp", addr) }
	var err error
	if w.node, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	w.listen()
	return w
}

func (w *world) listen() {
	ln, err := w.net.Listen("proxy:1")
	if err != nil {
		w.t.Fatal(err)
	}
	w.ln = ln
	w.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			if role, err := link.Greet(nc, wire.RoleProxy, time.Second); err != nil || role != wire.RoleNode {
				w.t.Errorf("greeting: role %v, %v", role, err)
				nc.Close()
				continue
			}
			p := &peer{t: w.t, conn: link.New(nc, link.Config{}), in: make(chan heard, 4096), over: make(chan struct{})}
			w.wg.Go(func() {
				p.err = p.conn.Run(context.Background(), p)
				close(p.over)
			})
			w.links <- p
		}
	})
}

func (w *world) close() {
	if err := w.node.Close(); err != nil {
		w.t.Errorf("Close: %v", err)
	}
	w.ln.Close()
	w.net.Close()
	for len(w.links) > 0 {
		(<-w.links).conn.Close(nil)
	}
	w.wg.Wait()
}

// invocation is an ordinary one.
func invocation(session uint64) *wire.Invocation {
	secret := wire.Secret(poolKey, 7, 3, session)
	return &wire.Invocation{
		Protocol: wire.Version, Node: 3, Epoch: 7, Session: session, Secret: secret[:],
		Proxy: "proxy:1", Linger: wire.Linger{Stay: 100 * time.Millisecond}, Capacity: 32 << 20,
	}
}

// invoke begins a session. The channel gets what it returned.
func (w *world) invoke(inv *wire.Invocation) <-chan wire.Return {
	return w.invokeFor(context.Background(), inv)
}

func (w *world) invokeFor(ctx context.Context, inv *wire.Invocation) <-chan wire.Return {
	w.t.Helper()
	payload, err := inv.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	out := make(chan wire.Return, 1)
	w.wg.Go(func() {
		var r wire.Return
		answer, err := w.node.Invoke(ctx, payload)
		if err == nil {
			err = json.Unmarshal(answer, &r)
		}
		if err != nil {
			w.t.Errorf("Invoke: %v", err)
		}
		out <- r
	})
	return out
}

// join begins a session on a new link and welcomes it.
func (w *world) join(inv *wire.Invocation) (*peer, <-chan wire.Return) {
	w.t.Helper()
	returned := w.invoke(inv)
	p := <-w.links
	p.welcome(inv)
	return p, returned
}

// rejoin begins a further session on a kept link.
func (w *world) rejoin(p *peer, inv *wire.Invocation) <-chan wire.Return {
	w.t.Helper()
	returned := w.invoke(inv)
	p.welcome(inv)
	return returned
}

// sleep agrees to the sleep that the node asks for, after so many requests, and
// gives what the session returned.
func (p *peer) sleep(requests uint64, returned <-chan wire.Return) wire.Return {
	p.t.Helper()
	var s wire.Session
	p.expect(wire.TypeSleep, 0, &s)
	if s.Session != p.session || s.Number != requests {
		p.t.Errorf("SLEEP of session %d after %d requests, want session %d after %d", s.Session, s.Number, p.session, requests)
	}
	p.say(wire.TypeAsleep, 0)
	r := <-returned
	if r.Reason != "slept" || r.Session != p.session || r.Requests != requests {
		p.t.Errorf("returned %+v, want session %d slept after %d requests", r, p.session, requests)
	}
	return r
}

// heard is a frame that the peer received.
type heard struct {
	wire.Header
	meta  []byte
	block wire.Block
	body  []byte
}

// peer is the proxy's end of a link.
type peer struct {
	t       *testing.T
	conn    *link.Conn
	in      chan heard
	over    chan struct{}
	err     error // after over
	epoch   uint64
	session uint64
	stream  uint32
	body    []byte
}

func (p *peer) Frame(h wire.Header, meta []byte) error {
	p.in <- heard{Header: h, meta: bytes.Clone(meta)}
	return nil
}

func (p *peer) Buffer(_ uint32, _ wire.Block, n int, vec [][]byte) [][]byte {
	p.body = make([]byte, n)
	return append(vec, p.body)
}

func (p *peer) Block(stream uint32, b wire.Block, n int, err error) {
	if err == nil {
		p.in <- heard{Header: wire.Header{Type: wire.TypeBlock, Stream: stream}, block: b, body: p.body}
	}
}

func (p *peer) next() heard {
	p.t.Helper()
	select {
	case h := <-p.in:
		return h
	case <-p.over:
		select {
		case h := <-p.in:
			return h
		default:
		}
		p.t.Fatalf("link ended: %v", p.err)
	case <-time.After(time.Minute):
		p.t.Fatal("nothing comes from the node")
	}
	panic("unreachable")
}

// expect takes the next frame, which must be of a type and stream.
func (p *peer) expect(t wire.Type, stream uint32, m wire.Message) heard {
	p.t.Helper()
	h := p.next()
	if h.Type != t || h.Stream != stream {
		p.t.Fatalf("received %v on stream %d, want %v on %d", h.Type, h.Stream, t, stream)
	}
	if m != nil {
		if err := m.Decode(h.meta); err != nil {
			p.t.Fatal(err)
		}
	}
	return h
}

// done takes the end of a request and gives its value.
func (p *peer) done(stream uint32, want wire.Code) uint64 {
	p.t.Helper()
	var d wire.Done
	if h := p.expect(wire.TypeDone, stream, &d); h.Code != want {
		p.t.Errorf("stream %d ended with %v, want %v", stream, d.Err(h.Code), want)
	}
	return d.Value
}

// silent checks that nothing comes for a while.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	select {
	case h := <-p.in:
		p.t.Errorf("received %v on stream %d, want nothing", h.Type, h.Stream)
	case <-time.After(d):
	}
}

// ended waits for the link's end.
func (p *peer) ended() {
	p.t.Helper()
	select {
	case <-p.over:
	case <-time.After(time.Minute):
		p.t.Fatal("the link is still there")
	}
}

// hello takes a hello and checks who speaks.
func (p *peer) hello(inv *wire.Invocation) (h wire.Hello) {
	p.t.Helper()
	p.expect(wire.TypeHello, 0, &h)
	if h.Node != inv.Node || h.Epoch != inv.Epoch || h.Session != inv.Session || !bytes.Equal(h.Proof[:], inv.Secret) {
		p.t.Errorf("hello %+v does not fit the invocation", h)
	}
	p.epoch, p.session = inv.Epoch, inv.Session
	return h
}

func (p *peer) welcome(inv *wire.Invocation) wire.Hello {
	p.t.Helper()
	h := p.hello(inv)
	p.say(wire.TypeWelcome, 0)
	return h
}

func (p *peer) say(t wire.Type, number uint64) {
	p.conn.Send(t, 0, 0, &wire.Session{Epoch: p.epoch, Session: p.session, Number: number})
}

func (p *peer) fence() wire.Fence { return wire.Fence{Epoch: p.epoch, Session: p.session} }

// begin asks something on a new stream.
func (p *peer) begin(t wire.Type, m wire.Message) uint32 {
	p.stream++
	p.conn.Send(t, 0, p.stream, m)
	return p.stream
}

func chunkOf(version uint64) wire.Chunk { return wire.Chunk{Version: version, Stripe: 2, Index: 5} }

// content is what a chunk of a version holds.
func content(version uint64, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(version), byte(version >> 8)}).Read(b)
	return b
}

func sumOf(c wire.Chunk, index int, body []byte) uint32 {
	return wire.Checksum(c.Version, c.Stripe, c.Index, uint32(index), body)
}

func blockOf(b []byte, i int) []byte {
	return b[i*wire.BlockSize : min((i+1)*wire.BlockSize, len(b))]
}

func blocksOf(size int) int { return (size + wire.BlockSize - 1) / wire.BlockSize }

// beginStore asks for a chunk to be kept and sends no block.
func (p *peer) beginStore(version uint64, size int) uint32 {
	return p.begin(wire.TypeStore, &wire.Store{Fence: p.fence(), Chunk: chunkOf(version), Size: uint32(size), Record: []byte("record")})
}

func (p *peer) sendBlock(stream uint32, version uint64, data []byte, i int) {
	c := chunkOf(version)
	body := blockOf(data, i)
	p.conn.SendBlock(stream, wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: uint32(i), Sum: sumOf(c, i, body)}, body, nil, nil)
}

// put stores a chunk, last block first, and gives what the node uses then.
func (p *peer) put(version uint64, size int) uint64 {
	p.t.Helper()
	s := p.beginStore(version, size)
	data := content(version, size)
	for i := blocksOf(size) - 1; i >= 0; i-- {
		p.sendBlock(s, version, data, i)
	}
	return p.done(s, wire.CodeOK)
}

func (p *peer) beginFetch(version uint64, from, to int, credit uint32) uint32 {
	return p.begin(wire.TypeFetch, &wire.Fetch{Fence: p.fence(), Chunk: chunkOf(version), From: uint32(from), To: uint32(to), Credit: credit})
}

// block takes a block of a fetch and checks it.
func (p *peer) block(stream uint32, version uint64, data []byte, i int) {
	p.t.Helper()
	c := chunkOf(version)
	h := p.expect(wire.TypeBlock, stream, nil)
	want := wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: uint32(i), Sum: sumOf(c, i, blockOf(data, i))}
	if h.block != want || !bytes.Equal(h.body, blockOf(data, i)) {
		p.t.Errorf("received block %+v with %d bytes, want %+v with %d", h.block, len(h.body), want, len(blockOf(data, i)))
	}
}

// get fetches a whole chunk and checks it.
func (p *peer) get(version uint64, size int) {
	p.t.Helper()
	s := p.beginFetch(version, 0, blocksOf(size), wire.MaxChunkSize)
	data := content(version, size)
	for i := range blocksOf(size) {
		p.block(s, version, data, i)
	}
	p.done(s, wire.CodeOK)
}

func (p *peer) freeChunks(chunks ...wire.Chunk) uint64 {
	p.t.Helper()
	return p.done(p.begin(wire.TypeFree, &wire.Free{Fence: p.fence(), Chunks: chunks}), wire.CodeOK)
}

// cost is what a chunk of the tests takes in the store.
func cost(size int) uint64 { return uint64(store.Cost(int64(size), len("record"))) }
