package link

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// pair is two connected TCP ends on loopback.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// recorder keeps what arrives.
type recorder struct {
	split  int // bytes of each slice of a block's memory; 0: one slice
	refuse bool
	onEach func() // after each frame or block

	mu     sync.Mutex
	frames []wire.Header
	metas  [][]byte
	blocks map[uint32][]byte // by block index
	parts  [][]byte
	failed []error
}

func (r *recorder) Frame(h wire.Header, meta []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, h)
	r.metas = append(r.metas, bytes.Clone(meta))
	if r.onEach != nil {
		r.onEach()
	}
	return nil
}

func (r *recorder) Buffer(_ uint32, _ wire.Block, n int, vec [][]byte) [][]byte {
	if r.refuse {
		return vec
	}
	b := make([]byte, n)
	r.parts = nil
	for r.split > 0 && len(b) > r.split {
		r.parts = append(r.parts, b[:r.split])
		b = b[r.split:]
	}
	r.parts = append(r.parts, b)
	return append(vec, r.parts...)
}

func (r *recorder) Block(_ uint32, b wire.Block, n int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed = append(r.failed, err)
		return
	}
	if r.blocks == nil {
		r.blocks = map[uint32][]byte{}
	}
	r.blocks[b.Index] = bytes.Join(r.parts, nil)
	if r.onEach != nil {
		r.onEach()
	}
}

// count counts releases.
type count struct{ n atomic.Int64 }

func (c *count) Release() { c.n.Add(1) }

func TestFramesAndBlocksArriveAsSent(t *testing.T) {
	for _, split := range []int{0, 1000, 4096} {
		hello := wire.Preface(wire.RoleClient)
		a, b := pair(t)
		ca := New(a, Config{Greeting: &hello})
		const blocks = 9
		left := int64(blocks + 2)
		done := make(chan struct{})
		rec := &recorder{split: split, onEach: func() {
			if left--; left == 0 {
				close(done)
			}
		}}
		var wg sync.WaitGroup
		wg.Go(func() { ca.Run(t.Context(), &recorder{}) })
		if role, err := Greet(b, wire.RoleProxy, time.Minute); role != wire.RoleClient || err != nil {
			t.Fatalf("Greet = %v, %v", role, err)
		}
		cb := New(b, Config{})
		wg.Go(func() { cb.Run(t.Context(), rec) })

		var released count
		sent := map[uint32][]byte{}
		ca.Send(wire.TypeOpen, 0, 1, &wire.Open{Key: "k"})
		for i := range uint32(blocks) {
			body := bytes.Repeat([]byte{byte(i + 1)}, wire.BlockSize-int(i)*777)
			sent[i] = body
			if err := ca.SendBlock(2, wire.Block{Index: i}, body[:5], [][]byte{body[5:50], body[50:]}, &released); err != nil {
				t.Fatal(err)
			}
		}
		ca.Send(wire.TypeCommit, 0, 2, &wire.Commit{Size: 1, Stripes: 1})
		<-done
		ca.Close(nil)
		wg.Wait()
		for i, want := range sent {
			if !bytes.Equal(rec.blocks[i], want) {
				t.Errorf("split %d: block %d differs", split, i)
			}
		}
		if len(rec.frames) != 2 || rec.frames[0].Type != wire.TypeOpen || rec.frames[1].Type != wire.TypeCommit {
			t.Errorf("frames = %v", rec.frames)
		}
		if n := released.n.Load(); n != blocks {
			t.Errorf("released %d of %d blocks", n, blocks)
		}
	}
}

func TestCloseReleasesWhatIsQueued(t *testing.T) {
	a, _ := pair(t)
	c := New(a, Config{})
	var released count
	body := make([]byte, wire.BlockSize)
	const n = 200 // more than the kernel takes for a peer that does not read
	for i := range uint32(n) {
		c.SendBlock(1, wire.Block{Index: i}, body, nil, &released)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	over := make(chan error)
	go func() { over <- c.Run(ctx, &recorder{}) }()
	why := errors.New("enough")
	cancel(why)
	if err := <-over; !errors.Is(err, why) {
		t.Errorf("Run = %v, want %v", err, why)
	}
	if err := c.SendBlock(1, wire.Block{}, body, nil, &released); !errors.Is(err, why) {
		t.Errorf("SendBlock after the end = %v, want %v", err, why)
	}
	if got := released.n.Load(); got != n+1 {
		t.Errorf("released %d of %d blocks", got, n+1)
	}
}

func TestPeerThatDoesNotReadIsGivenUp(t *testing.T) {
	a, _ := pair(t)
	c := New(a, Config{Stall: 50 * time.Millisecond})
	for i := range uint32(200) {
		c.SendBlock(1, wire.Block{Index: i}, make([]byte, wire.BlockSize), nil, nil)
	}
	if err := c.Run(t.Context(), &recorder{}); !errors.Is(err, wire.ErrTimeout) {
		t.Errorf("Run = %v, want a timeout", err)
	}
	a, _ = pair(t)
	c = New(a, Config{MaxQueue: 3})
	var err error
	for range 5 {
		err = c.Send(wire.TypePing, 0, 0, &wire.Session{})
	}
	if !errors.Is(err, wire.ErrBusy) {
		t.Errorf("fifth Send with a queue of 3 = %v, want busy", err)
	}
	a, _ = pair(t)
	c = New(a, Config{MaxQueueBytes: 100 << 10})
	for range 3 {
		err = c.Send(wire.TypeOpen, 0, 1, &wire.Open{Key: string(make([]byte, wire.MaxKey))})
	}
	if !errors.Is(err, wire.ErrBusy) {
		t.Errorf("third Send of 64 KiB with a queue of 100 KiB = %v, want busy", err)
	}
}

func TestPeerThatStopsInMidBody(t *testing.T) {
	a, b := pair(t)
	var head [wire.HeaderSize + wire.BlockMetaSize]byte
	wire.Header{Type: wire.TypeBlock, Stream: 1, Meta: wire.BlockMetaSize, Body: 1000}.Put(head[:])
	b.Write(append(head[:], "only a part"...))
	rec := &recorder{}
	c := New(a, Config{Stall: 50 * time.Millisecond})
	if err := c.Run(t.Context(), rec); !errors.Is(err, wire.ErrTimeout) {
		t.Errorf("Run = %v, want a timeout", err)
	}
	if len(rec.failed) != 1 {
		t.Errorf("the handler heard of %d failed blocks, want 1", len(rec.failed))
	}
}

func TestGarbageClosesTheLink(t *testing.T) {
	for name, raw := range map[string][]byte{
		"zeros":   make([]byte, 64),
		"http":    []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"huge":    append([]byte{byte(wire.TypeOpen), 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}, make([]byte, 8)...),
		"reserve": append([]byte{byte(wire.TypeBlock), 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0}, bytes.Repeat([]byte{9}, 20)...),
	} {
		a, b := pair(t)
		b.Write(raw)
		c := New(a, Config{Stall: time.Second})
		if err := c.Run(t.Context(), &recorder{}); !errors.Is(err, wire.ErrProtocol) {
			t.Errorf("%s: Run = %v, want a protocol error", name, err)
		}
	}
}

func TestFinishWritesWhatIsQueued(t *testing.T) {
	a, b := pair(t)
	ca, cb := New(a, Config{}), New(b, Config{})
	for range 100 {
		ca.Send(wire.TypePing, 0, 0, &wire.Session{Number: 1})
	}
	ca.Finish(nil)
	if err := ca.Send(wire.TypePing, 0, 0, nil); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("Send after Finish = %v, want closed", err)
	}
	rec := &recorder{}
	var wg sync.WaitGroup
	wg.Go(func() { ca.Run(t.Context(), &recorder{}) })
	if err := cb.Run(t.Context(), rec); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("Run = %v, want closed", err)
	}
	wg.Wait()
	if len(rec.frames) != 100 {
		t.Errorf("%d of 100 frames arrived", len(rec.frames))
	}
}

func TestUnwantedBlocksAreThrownAway(t *testing.T) {
	a, b := pair(t)
	ca, cb := New(a, Config{}), New(b, Config{})
	ca.SendBlock(1, wire.Block{}, make([]byte, wire.BlockSize), nil, nil)
	ca.Send(wire.TypePing, 0, 0, nil)
	ca.Finish(nil)
	rec := &recorder{refuse: true}
	var wg sync.WaitGroup
	wg.Go(func() { ca.Run(t.Context(), &recorder{}) })
	cb.Run(t.Context(), rec)
	wg.Wait()
	if len(rec.blocks) != 0 || len(rec.frames) != 1 {
		t.Errorf("got %d blocks and %d frames, want 0 and 1", len(rec.blocks), len(rec.frames))
	}
}

// A peer that is slow to read is not sent what is dropped meanwhile, but for what is
// being written.
func TestDroppedBlocksAreNotSent(t *testing.T) {
	const blocks = 20
	a, b := net.Pipe()
	ca := New(a, Config{})
	var unwanted, wanted count
	for i := range uint32(blocks) {
		ca.SendBlock(1, wire.Block{Index: i}, make([]byte, wire.BlockSize), nil, &unwanted)
	}
	ca.SendBlock(2, wire.Block{Index: blocks}, make([]byte, 1000), nil, &wanted)
	ca.Send(wire.TypeCancel, 0, 1, nil)
	var wg sync.WaitGroup
	wg.Go(func() { ca.Run(t.Context(), &recorder{}) })
	first := make([]byte, 1)
	if _, err := b.Read(first); err != nil { // a batch is being written
		t.Fatal(err)
	}
	ca.Drop(1)
	if n := unwanted.n.Load(); n < blocks-batchBytes/wire.BlockSize || n == blocks {
		t.Errorf("%d of %d blocks are released when they are dropped", n, blocks)
	}
	ca.Finish(nil)
	rec := &recorder{}
	New(prefixed{b, bytes.NewReader(first)}, Config{}).Run(t.Context(), rec)
	wg.Wait()
	if n := len(rec.blocks); n > batchBytes/wire.BlockSize+1 || rec.blocks[blocks] == nil || len(rec.frames) != 1 {
		t.Errorf("%d blocks and %d frames arrived", n, len(rec.frames))
	}
	if unwanted.n.Load() != blocks || wanted.n.Load() != 1 {
		t.Errorf("released %d and %d times, want %d and 1", unwanted.n.Load(), wanted.n.Load(), blocks)
	}
}

// prefixed is a connection of which the first bytes were read already.
type prefixed struct {
	net.Conn
	first *bytes.Reader
}

func (p prefixed) Read(b []byte) (int, error) {
	if p.first.Len() > 0 {
		return p.first.Read(b)
	}
	return p.Conn.Read(b)
}

func BenchmarkBlocks(b *testing.B) {
	x, y := pair(b)
	cx, cy := New(x, Config{}), New(y, Config{})
	go cx.Run(b.Context(), &recorder{})
	sink := &fixed{buf: make([]byte, wire.BlockSize), got: make(chan struct{}, 16)}
	go cy.Run(b.Context(), sink)
	body := make([]byte, wire.BlockSize)
	b.SetBytes(wire.BlockSize)
	b.ReportAllocs()
	ahead := 0
	for b.Loop() {
		cx.SendBlock(1, wire.Block{}, body, nil, nil)
		if ahead++; ahead > 8 {
			<-sink.got
		}
	}
	cx.Close(nil)
}

// fixed reads every block into the same memory.
type fixed struct {
	buf []byte
	got chan struct{}
}

func (f *fixed) Frame(wire.Header, []byte) error { return nil }
func (f *fixed) Buffer(_ uint32, _ wire.Block, n int, vec [][]byte) [][]byte {
	return append(vec, f.buf[:n])
}
func (f *fixed) Block(uint32, wire.Block, int, error) { f.got <- struct{}{} }
