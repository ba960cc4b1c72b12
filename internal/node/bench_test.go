package node

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// bencher is a proxy over a real socket that reads blocks into one buffer and
// hears of ends only.
type bencher struct {
	conn  *link.Conn
	ready chan struct{}
	done  chan wire.Code
	body  []byte
}

func (p *bencher) Frame(h wire.Header, meta []byte) error {
	switch h.Type {
	case wire.TypeHello:
		p.conn.Send(wire.TypeWelcome, 0, 0, &wire.Session{Epoch: 7, Session: 1})
		close(p.ready)
	case wire.TypeDone:
		p.done <- h.Code
	}
	return nil
}

func (p *bencher) Buffer(_ uint32, _ wire.Block, n int, vec [][]byte) [][]byte {
	return append(vec, p.body[:n])
}

func (p *bencher) Block(uint32, wire.Block, int, error) {}

// benchPair is a node in a session and its proxy, over TCP.
func benchPair(b *testing.B) *bencher {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	n, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	p := &bencher{ready: make(chan struct{}), done: make(chan wire.Code, 64), body: make([]byte, wire.BlockSize)}
	accepted := make(chan error, 1)
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			_, err = link.Greet(nc, wire.RoleProxy, time.Second)
			p.conn = link.New(nc, link.Config{})
		}
		accepted <- err
		p.conn.Run(context.Background(), p)
	}()
	inv := invocation(1)
	inv.Proxy = ln.Addr().String()
	inv.Linger.Stay = time.Hour
	payload, err := inv.Encode()
	if err != nil {
		b.Fatal(err)
	}
	go n.Invoke(context.Background(), payload)
	if err := <-accepted; err != nil {
		b.Fatal(err)
	}
	<-p.ready
	b.Cleanup(func() {
		n.Close()
		ln.Close()
	})
	return p
}

func (p *bencher) store(b *testing.B, stream uint32, size int) {
	p.conn.Send(wire.TypeStore, 0, stream, &wire.Store{Fence: wire.Fence{Epoch: 7, Session: 1}, Chunk: chunkOf(1), Size: uint32(size)})
	c := chunkOf(1)
	for i := range blocksOf(size) {
		p.conn.SendBlock(stream, wire.Block{Stripe: c.Stripe, Chunk: c.Index, Index: uint32(i)}, p.body[:min(size-i*wire.BlockSize, wire.BlockSize)], nil, nil)
	}
	p.wait(b)
}

func (p *bencher) wait(b *testing.B) {
	if code := <-p.done; code != wire.CodeOK {
		b.Fatal(code)
	}
}

func benchSizes(b *testing.B, run func(b *testing.B, p *bencher, size int)) {
	for _, s := range []struct {
		name string
		size int
	}{{"1KiB", 1 << 10}, {"1MiB", 1 << 20}} {
		b.Run(s.name, func(b *testing.B) {
			p := benchPair(b)
			b.SetBytes(int64(s.size))
			b.ReportAllocs()
			run(b, p, s.size)
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	benchSizes(b, func(b *testing.B, p *bencher, size int) {
		p.store(b, 1, size)
		stream := uint32(1)
		for b.Loop() {
			stream++
			p.conn.Send(wire.TypeFetch, 0, stream, &wire.Fetch{
				Fence: wire.Fence{Epoch: 7, Session: 1}, Chunk: chunkOf(1), To: uint32(blocksOf(size)), Credit: wire.StreamCredit,
			})
			p.wait(b)
		}
	})
}

func BenchmarkStore(b *testing.B) {
	benchSizes(b, func(b *testing.B, p *bencher, size int) {
		stream := uint32(0)
		for b.Loop() {
			stream++
			p.store(b, stream, size)
		}
	})
}
