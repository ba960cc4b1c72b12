package stripe

import (
	"context"
	"sync/atomic"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/wire"
)

// outgoing is a stripe on its way to the target. It implements Releaser for its
// blocks. Its memory is free when the last reference is gone: one for each
// block under way, for whoever is sending blocks of it, and for not being
// settled, because until then a chunk may have to be sent again.
type outgoing struct {
	w      *writer
	index  uint32
	layout erasure.Layout
	data   []byte // the stripe
	parity []byte // the parity chunks, one after another; nil: copies of data
	mem    []byte // what goes back to the Buffers
	coded  atomic.Uint32
	refs   atomic.Int32

	// Under w.mu.
	settled   bool
	resending uint64 // chunks that are being sent again
	again     uint64 // chunks that were asked for again meanwhile
}

// block is block j of a chunk; empty if the chunk does not reach so far.
func (o *outgoing) block(chunk int, j uint32) []byte {
	lo := int(j) * wire.BlockSize
	n := o.layout.LenIn(chunk, lo, lo+wire.BlockSize)
	if n == 0 {
		return []byte{} // not nil: the coder counts it as zeros
	}
	from := o.data
	switch d := o.layout.Data(); {
	case chunk < d:
		lo += int(o.layout.Offset(chunk))
	case o.parity != nil:
		from = o.parity
		lo += (chunk - d) * o.layout.ChunkSize()
	}
	return from[lo : lo+n : lo+n]
}

// sendBlock sums a block and hands it to the target.
func (o *outgoing) sendBlock(ctx context.Context, chunk int, j uint32, body []byte) error {
	b := wire.Block{Stripe: o.index, Chunk: uint16(chunk), Index: j}
	b.Sum = wire.Checksum(o.w.plan.Version, b.Stripe, b.Chunk, j, body)
	o.refs.Add(1)
	return o.w.target.Block(ctx, b, body, o)
}

// Release drops a reference.
func (o *outgoing) Release() {
	if o.refs.Add(-1) != 0 {
		return
	}
	w := o.w
	w.mu.Lock()
	for i := range w.live {
		if w.live[i] == o {
			w.live[i] = nil
		}
	}
	w.mu.Unlock()
	w.buffers.release(o.mem, true)
	<-w.slots
}

// resend has all blocks of a chunk that were coded so far sent again, on a
// goroutine of its own; those that were not will be sent anyway. w.mu is held.
func (o *outgoing) resend(chunk uint16) {
	bit := uint64(1) << chunk
	if o.resending&bit != 0 {
		o.again |= bit
		return
	}
	o.resending |= bit
	o.refs.Add(1)
	o.w.tasks.Go(func() {
		defer o.Release()
		for again := true; again; {
			if err := o.sendChunk(int(chunk)); err != nil {
				o.w.abandon(err)
				return
			}
			o.w.mu.Lock()
			if again = o.again&bit != 0; !again {
				o.resending &^= bit
			}
			o.again &^= bit
			o.w.mu.Unlock()
		}
	})
}

func (o *outgoing) sendChunk(chunk int) error {
	for j := range o.coded.Load() {
		body := o.block(chunk, j)
		if len(body) == 0 {
			return nil
		}
		if err := o.sendBlock(o.w.ctx, chunk, j, body); err != nil {
			return err
		}
	}
	return nil
}

// abandon ends the write because a chunk could not be sent again. If the write is
// over already it changes nothing.
func (w *writer) abandon(err error) {
	if w.ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	if w.abandoned == nil {
		w.abandoned = err
	}
	w.mu.Unlock()
	w.cancel(err)
	w.target.Abort()
}
