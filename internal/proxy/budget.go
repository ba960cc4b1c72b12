package proxy

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/infinicache/infinicache/internal/wire"
)

// budget bounds the bytes of blocks that are on their way through the proxy:
// all of them together, and those of one client, so that a client that does not
// read holds up nobody but itself. What is taken is what a node is allowed to
// send; the memory itself is used only while a block is here.
type budget struct {
	all     *semaphore.Weighted
	limit   int64
	waiting atomic.Int64 // clients that wait for the whole, within their share
}

func newBudget(limit int64) *budget {
	return &budget{all: semaphore.NewWeighted(limit), limit: limit}
}

// share is one client's part of a budget.
type share struct {
	of  *budget
	own *semaphore.Weighted
	max int64
}

// minShare is enough for a READ of every chunk of a stripe, a block each.
const minShare = wire.MaxChunks * wire.BlockSize

// newShare makes a part of at most a quarter of the whole, but minShare.
func (b *budget) newShare() *share {
	limit := max(b.limit/4, minShare)
	return &share{of: b, own: semaphore.NewWeighted(limit), max: limit}
}

// take waits for n bytes, at most the share's max. It waits for the share first,
// so that only clients that would make progress wait for the whole. Who waits
// must not hold bytes that are given back only when more were taken: of two who
// did, each could wait for the other.
func (s *share) take(ctx context.Context, n int64) error {
	if err := s.own.Acquire(ctx, n); err != nil {
		return context.Cause(ctx)
	}
	s.of.waiting.Add(1)
	defer s.of.waiting.Add(-1)
	if err := s.of.all.Acquire(ctx, n); err != nil {
		s.own.Release(n)
		return context.Cause(ctx)
	}
	return nil
}

// tryTake takes n bytes if they are free now.
func (s *share) tryTake(n int64) bool {
	if !s.own.TryAcquire(n) {
		return false
	}
	if !s.of.all.TryAcquire(n) {
		s.own.Release(n)
		return false
	}
	return true
}

func (s *share) give(n int64) {
	s.of.all.Release(n)
	s.own.Release(n)
}

// relayBlock is the memory of one block on its way from a link to another.
type relayBlock struct {
	proxy *Proxy
	mem   []byte
	n     int
	then  func(n int) // told when the block was written or dropped
}

func (p *Proxy) newBlock(n int, then func(int)) *relayBlock {
	b := p.blocks.Get().(*relayBlock)
	b.n, b.then = n, then
	return b
}

// Release gives the memory back when the block was written or dropped.
func (b *relayBlock) Release() {
	then, n := b.then, b.n
	b.then = nil
	b.proxy.blocks.Put(b)
	if then != nil {
		then(n)
	}
}
