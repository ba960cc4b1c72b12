// Package stripe is the engine that turns objects into stripes of erasure-coded
// chunks and back: it encodes, sums, sends, reads the first d chunks that
// arrive, hedges against stragglers, verifies and reconstructs. The client
// library runs it over the network; the front doors run it inside the proxy.
// The engine sees neither: it speaks to a Source or a Target.
package stripe

import (
	"context"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// Source reads the chunks of one pinned version.
type Source interface {
	// Read asks for blocks of chunks of a stripe and returns at once. What
	// arrives goes to sink, from other goroutines: for each block Buffer and
	// then Block, and for each wanted chunk End, once. The blocks of a chunk
	// come in rising order.
	//
	// cancel gives up what has not arrived. It does not wait: a Block whose
	// Buffer returned memory before still comes, with an error if the link is
	// given up, because the memory is not free until then; End may or may not.
	// cancel is called at most once, and not if every chunk is complete or has
	// failed. The source may keep wants.
	Read(stripe uint32, wants []wire.Want, sink Sink) (cancel func())
}

// Sink takes what a Source delivers. Calls for one chunk never overlap. None of
// them blocks.
type Sink interface {
	// Buffer returns the n bytes of memory that the body of block b is read
	// into, or nil to have it thrown away.
	Buffer(b wire.Block, n int) []byte
	// Block says that the memory Buffer returned for b is filled, or, with an
	// error, that it is no longer written to and has no meaning.
	Block(b wire.Block, body []byte, err error)
	// End says that a chunk is complete, or why it never will be.
	End(chunk uint16, err error)
}

// Target takes the chunks of one new version.
type Target interface {
	// Plan says how the object is to be cut and coded, and the version that
	// goes into the checksums.
	Plan() Plan
	// Begin says how long a stripe is, before any of its blocks are sent. Stripes
	// begin in order, and only the last may be shorter than Plan's. It may wait
	// for room in the pool.
	Begin(ctx context.Context, stripe uint32, length int64) error
	// Block sends one block of a chunk. It waits while the window is closed.
	// body must not change until owner's Release, which is called once for each
	// Block, whether it is sent, dropped or refused; possibly before Block
	// returns. Several goroutines may call Block at a time, and around a Resend
	// the same block may come twice: the target keeps one.
	Block(ctx context.Context, b wire.Block, body []byte, owner Releaser) error
	// Events tells what became of stripes. It is closed when the target is
	// over, after which Err says why.
	Events() <-chan Event
	// Commit makes the version the newest. All stripes were sent; it waits for
	// those that are not settled yet. Events must be served meanwhile.
	Commit(ctx context.Context, size int64, stripes uint32) (object.PutResult, error)
	// Abort gives the version up: it ends Block and Commit calls under way and
	// releases all blocks. It is safe during and after Commit, and twice.
	Abort()
	Err() error
}

// Releaser is told that a block's memory is no longer read.
type Releaser interface{ Release() }

// Plan is how a new version is cut and coded.
type Plan struct {
	Version uint64
	Shape   object.Shape
	Stripe  int64 // bytes of object per stripe
}

// Event is news of a stripe that was sent.
type Event struct {
	Stripe uint32
	// Resend asks for all blocks of Chunk again: it has a new node. Otherwise
	// the stripe is settled and its memory is free once every block is released.
	Resend bool
	Chunk  uint16
}
