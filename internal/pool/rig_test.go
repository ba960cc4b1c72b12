package pool_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/simnet"
	"github.com/infinicache/infinicache/internal/wire"
)

const proxyAddr = "proxy:7000"

var poolKey = []byte("a key for the tests")

// rig is a pool whose platform and instances are the test.
type rig struct {
	t    *testing.T
	net  *simnet.Net
	pool *pool.Pool
	*driver
	lost []uint32 // lots
}

// bubble runs a test with a rig in virtual time. A goroutine of the pool that
// outlives it fails the test.
func bubble(t *testing.T, nodes int, test func(t *testing.T, r *rig)) {
	t.Helper()
	bubbleWith(t, pool.Config{Nodes: nodes}, test)
}

// bubbleWith is bubble for a pool with more than its nodes configured.
func bubbleWith(t *testing.T, cfg pool.Config, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, net: simnet.New(1), driver: &driver{sessions: make(chan *session, 64)}}
		var err error
		cfg.Driver, cfg.Epoch, cfg.Key, cfg.Address, cfg.Capacity = r.driver, 7, poolKey, proxyAddr, 10<<20
		cfg.OnLost = func(_, lot uint32) { r.lost = append(r.lost, lot) }
		r.pool, err = pool.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l, err := r.net.Listen(proxyAddr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				go r.pool.Serve(nc, func() {})
			}
		}()
		ended := make(chan struct{})
		go func() { defer close(ended); _ = r.pool.Run(ctx) }()
		defer func() {
			stop()
			<-ended
			r.net.Close()
		}()
		test(t, r)
	})
}

// driver hands each invocation to the test.
type driver struct {
	sessions chan *session
	next     atomic.Value // string: what Next answers
	there    atomic.Value // string: the instance that InvokeInstance finds
	sought   atomic.Int64 // how often it was asked for one
}

func (d *driver) Next(context.Context, int) (string, error) {
	id, _ := d.next.Load().(string)
	return id, nil
}

// InvokeInstance finds the instances that there are.
func (d *driver) InvokeInstance(ctx context.Context, node int, instance string, payload []byte, _ func(wire.Call)) (platform.Outcome, error) {
	there, _ := d.there.Load().(string)
	if d.sought.Add(1); there != instance {
		return platform.Outcome{}, &platform.Error{Kind: platform.NotFound, Node: node}
	}
	return d.Invoke(ctx, node, payload)
}

type session struct {
	wire.Invocation
	over chan error
}

func (d *driver) Capabilities() platform.Capabilities {
	return platform.Capabilities{Name: "test", Freezes: true, SecondInstance: true, Memory: 256 << 20}
}

func (d *driver) Invoke(ctx context.Context, _ int, payload []byte) (platform.Outcome, error) {
	s := &session{over: make(chan error, 1)}
	if err := json.Unmarshal(payload, &s.Invocation); err != nil {
		return platform.Outcome{}, err
	}
	d.sessions <- s
	select {
	case err := <-s.over:
		return platform.Outcome{Payload: []byte("{}")}, err
	case <-ctx.Done():
		return platform.Outcome{}, &platform.Error{Kind: platform.Canceled}
	}
}

// invoked waits for the next session.
func (r *rig) invoked() *session {
	r.t.Helper()
	synctest.Wait()
	select {
	case s := <-r.sessions:
		return s
	default:
		r.t.Fatal("no node was invoked")
		return nil
	}
}

// end is an instance's end of a link, frame by frame.
type end struct {
	t  *testing.T
	nc net.Conn
}

func (r *rig) dial() *end {
	r.t.Helper()
	nc, err := r.net.Dial(r.t.Context(), "node", proxyAddr)
	if err != nil {
		r.t.Fatal(err)
	}
	return &end{r.t, nc}
}

func (e *end) send(t wire.Type, code wire.Code, stream uint32, m wire.Message) {
	e.t.Helper()
	if _, err := e.nc.Write(wire.AppendFrame(nil, t, code, stream, m)); err != nil {
		e.t.Errorf("send %v: %v", t, err)
	}
}

func (e *end) done(stream uint32, err error, value uint64) {
	e.t.Helper()
	code, d := wire.DoneOf(err)
	d.Value = value
	e.send(wire.TypeDone, code, stream, d)
}

func (e *end) block(stream uint32, b wire.Block, body []byte) {
	e.t.Helper()
	var head [wire.HeaderSize + wire.BlockMetaSize]byte
	wire.Header{Type: wire.TypeBlock, Stream: stream, Meta: wire.BlockMetaSize, Body: uint32(len(body))}.Put(head[:])
	b.Put(head[wire.HeaderSize:])
	if _, err := e.nc.Write(append(head[:], body...)); err != nil {
		e.t.Errorf("send block: %v", err)
	}
}

// frame is one that the pool sent.
type frame struct {
	wire.Header
	meta, body []byte
}

// next reads a frame; its type is 0 at the end of the link or after 5 s.
func (e *end) next() (f frame) {
	_ = e.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(e.nc, head[:]); err != nil {
		return frame{}
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		e.t.Fatal(err)
	}
	f = frame{h, make([]byte, h.Meta), make([]byte, h.Body)}
	if _, err := io.ReadFull(e.nc, f.meta); err != nil {
		e.t.Fatal(err)
	}
	if _, err := io.ReadFull(e.nc, f.body); err != nil {
		e.t.Fatal(err)
	}
	synctest.Wait() // what the pool does after sending is done
	return f
}

// want reads a frame of a type and decodes it into m, which may be nil.
func (e *end) want(t wire.Type, m wire.Message) frame {
	e.t.Helper()
	f := e.next()
	if f.Type != t {
		e.t.Fatalf("got %v %v, want %v", f.Type, f.Code, t)
	}
	if m != nil {
		if err := m.Decode(f.meta); err != nil {
			e.t.Fatal(err)
		}
	}
	return f
}

// hello is what instance number id says in a session.
func (s *session) hello(id byte, used, chunks uint64) *wire.Hello {
	return &wire.Hello{
		Node: s.Node, Instance: wire.Instance{id}, Epoch: s.Epoch, Session: s.Session,
		Proof: wire.Secret(poolKey, s.Epoch, s.Node, s.Session), Capacity: 10 << 20, Used: used, Chunks: chunks,
	}
}

// join plays instance id into a session, on a new link, and returns the number
// of its welcome.
func (r *rig) join(s *session, id byte, used, chunks uint64) (*end, uint64) {
	r.t.Helper()
	e := r.dial()
	e.send(wire.TypeHello, 0, 0, s.hello(id, used, chunks))
	var w wire.Session
	e.want(wire.TypeWelcome, &w)
	return e, w.Number
}

// sleep ends a session in which n requests came as agreed.
func (r *rig) sleep(s *session, e *end, n uint64) {
	r.t.Helper()
	e.send(wire.TypeSleep, 0, 0, &wire.Session{Epoch: s.Epoch, Session: s.Session, Number: n})
	e.want(wire.TypeAsleep, nil)
	s.over <- nil
	synctest.Wait()
	if got := r.pool.Status()[s.Node].State; got != "asleep" {
		r.t.Fatalf("node %d is %s, want asleep", s.Node, got)
	}
}

// books fails the test unless the books of a node are these.
func (r *rig) books(node int, held, dead, reserved int64) {
	r.t.Helper()
	synctest.Wait()
	s := r.pool.Status()[node]
	if s.Held != held || s.Dead != dead || s.Reserved != reserved {
		r.t.Errorf("node %d: held %d, dead %d, reserved %d; want %d, %d, %d", node, s.Held, s.Dead, s.Reserved, held, dead, reserved)
	}
}

// stored is how a Store ended.
type stored struct {
	at    catalog.Place
	err   error
	times int
}

// record is kept beside the chunks of these tests.
var record = []byte("record")

func cost(size int) int64 { return pool.Cost(size, len(record)) }

// store reserves for a chunk and begins to store it, without its blocks.
func (r *rig) store(node uint32, c wire.Chunk, size int) (*pool.Call, *stored) {
	r.t.Helper()
	if !r.pool.Reserve(node, cost(size)) {
		r.t.Fatalf("node %d has no room for %d bytes", node, size)
	}
	res := &stored{}
	call := r.pool.Store(node, c, uint32(size), record, lifecycle.Serve, func(at catalog.Place, err error) {
		res.at, res.err = at, err
		res.times++
	})
	return call, res
}

// owner counts releases.
type owner struct{ released int }

func (o *owner) Release() { o.released++ }

// sink keeps what a Fetch delivers.
type sink struct {
	body  []byte
	bad   int // blocks that failed
	ended int
	err   error
}

func (s *sink) Buffer(_ wire.Block, n int) []byte { return make([]byte, n) }

func (s *sink) Block(_ wire.Block, body []byte, err error) {
	if err != nil {
		s.bad++
		return
	}
	s.body = append(s.body, body...)
}

func (s *sink) End(_ uint16, err error) { s.ended, s.err = s.ended+1, err }
