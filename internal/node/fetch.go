package node

import (
	"sync/atomic"

	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// fetch is a FETCH being served. It pins its chunk until it is over and its last
// block was written.
type fetch struct {
	stream   uint32
	chunk    wire.Chunk
	next, to uint32 // blocks
	credit   int64  // bytes that may still be sent
	handle   *store.Handle
	pins     atomic.Int32 // blocks on the link, and 1 until it is over
}

// Release is called when a block is written.
func (f *fetch) Release() {
	if f.pins.Add(-1) == 0 {
		f.handle.Close()
	}
}

func (f *fetch) abandon() { f.Release() }

// fetch sends blocks of a chunk, as many as there is credit for.
func (l *proxyLink) fetch(stream uint32, m *wire.Fetch) {
	handle, err := l.n.store.Open(keyOf(m.Chunk))
	if err != nil {
		l.done(stream, 0, codeOf(err))
		return
	}
	if int(m.To) > handle.Blocks() {
		blocks := handle.Blocks()
		handle.Close()
		l.done(stream, 0, wire.Errorf(wire.CodeRequest, "blocks %d to %d of a chunk that has %d", m.From, m.To, blocks))
		return
	}
	f := &fetch{
		stream: stream, chunk: m.Chunk,
		next: m.From, to: m.To, credit: int64(m.Credit),
		handle: handle,
	}
	f.pins.Store(1)
	l.requests[stream] = f
	l.pump(f)
}

// pump sends what the credit allows, straight from the store, and ends the
// request after its last block.
func (l *proxyLink) pump(f *fetch) {
	for ; f.next < f.to; f.next++ {
		size := min(wire.BlockSize, f.handle.Size()-int64(f.next)*wire.BlockSize)
		if size > f.credit {
			return
		}
		data, sum := f.handle.Block(int(f.next))
		f.credit -= size
		f.pins.Add(1)
		b := wire.Block{Stripe: f.chunk.Stripe, Chunk: f.chunk.Index, Index: f.next, Sum: sum}
		if err := l.conn.SendBlock(f.stream, b, data[0], data[1:], f); err != nil {
			return // the link ends, and the request with it
		}
	}
	f.abandon()
	l.done(f.stream, 0, nil)
}
