package node

import (
	"errors"

	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// staging is a STORE being served: a chunk whose blocks are coming.
type staging struct {
	stream  uint32
	key     wire.Chunk
	chunk   *store.Chunk
	got     uint64 // blocks that are in, one bit each
	left    int    // blocks to come
	filling bool   // a block is being read into the chunk's memory
	over    bool   // abandoned while filling
}

// A chunk has at most as many blocks as staging.got has bits.
const _ = uint(64 - wire.MaxChunkSize/wire.BlockSize)

// abandon gives the chunk up. Memory that is being read into is given up when
// that is over.
func (s *staging) abandon() {
	s.over = true
	if !s.filling {
		s.chunk.Abort()
	}
}

// stage makes room for a chunk. One that is there already is replaced: the
// proxy sends it again because it never heard of the first.
func (l *proxyLink) stage(stream uint32, m *wire.Store) {
	st, key := l.n.store, keyOf(m.Chunk)
	chunk, err := st.Create(key, int64(m.Size), m.Record)
	if errors.Is(err, store.ErrExists) {
		st.FreeChunk(key)
		l.n.history.freed(m.Chunk)
		chunk, err = st.Create(key, int64(m.Size), m.Record)
	}
	if err != nil {
		l.done(stream, st.Used(), codeOf(err))
		return
	}
	l.requests[stream] = &staging{stream: stream, key: m.Chunk, chunk: chunk, left: chunk.Blocks()}
}

// Buffer names the place of a block in the store. Blocks of a request that is
// over are thrown away.
func (l *proxyLink) Buffer(stream uint32, b wire.Block, n int, vec [][]byte) [][]byte {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	l.alive()
	s, ok := l.requests[stream].(*staging)
	if !ok {
		return vec
	}
	if err := s.check(b, n); err != nil {
		s.abandon()
		l.done(stream, l.n.store.Used(), err)
		return vec
	}
	s.filling = true
	l.filling = s
	return append(vec, s.chunk.Block(int(b.Index))...)
}

// check says what is wrong with a block that arrives.
func (s *staging) check(b wire.Block, n int) error {
	switch {
	case b.Stripe != s.key.Stripe || b.Chunk != s.key.Index:
		return wire.Errorf(wire.CodeProtocol, "a block of stripe %d chunk %d for stripe %d chunk %d", b.Stripe, b.Chunk, s.key.Stripe, s.key.Index)
	case int64(b.Index) >= int64(s.chunk.Blocks()):
		return wire.Errorf(wire.CodeProtocol, "block %d of a chunk that has %d", b.Index, s.chunk.Blocks())
	case s.got&(1<<b.Index) != 0:
		return wire.Errorf(wire.CodeProtocol, "block %d twice", b.Index)
	}
	if want := min(wire.BlockSize, s.chunk.Size()-int64(b.Index)*wire.BlockSize); int64(n) != want {
		return wire.Errorf(wire.CodeProtocol, "block %d has %d bytes, want %d", b.Index, n, want)
	}
	return nil
}

// Block takes a block that is in its place, and commits the chunk with the last.
func (l *proxyLink) Block(stream uint32, b wire.Block, _ int, err error) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	s := l.filling
	l.filling = nil
	s.filling = false
	if s.over {
		s.chunk.Abort()
		return
	}
	if err != nil {
		return // the link ends, and the request with it
	}
	s.chunk.SetSum(int(b.Index), b.Sum)
	s.got |= 1 << b.Index
	if s.left--; s.left > 0 {
		return
	}
	if err = s.chunk.Commit(l.n.history.position + 1); err == nil {
		l.n.history.stored(s.key)
	}
	l.done(stream, l.n.store.Used(), codeOf(err))
}
