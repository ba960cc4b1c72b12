package stripe

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/wire"
)

// Policy says how many chunks of a stripe are asked for at first.
type Policy uint8

const (
	// PolicyHedged asks for d chunks, and for more where one fails or is later
	// than the pool's recent tail.
	PolicyHedged Policy = iota
	// PolicyAll asks for all d+p chunks at once.
	PolicyAll
)

// DefaultStripeTimeout is the StripeTimeout of options that name none.
const DefaultStripeTimeout = 10 * time.Second

// ReaderOptions are the ways in which a Reader may differ from the default. The
// zero value is ready, but the readers of a pool should share Buffers, Tail and
// Codes.
type ReaderOptions struct {
	Policy Policy
	// Ready has bit i set if chunk i can be read without waking a node, Gone if
	// it is known lost or unheard; 0 says nothing. They are hints: gone chunks
	// are asked for last, and a ready parity chunk before a data chunk that is
	// not.
	Ready, Gone uint64
	// Key opens versions that are sealed; nil: they give wire.ErrEncrypted.
	Key *seal.Key
	// Stored reads of a sealed version its sealed form, for those who keep it and
	// have no key.
	Stored bool
	// Buffers bounds the memory; nil: no limit. ReadInto takes only memory
	// beyond the caller's from it, unless the version is sealed.
	Buffers *Buffers
	// Tail is what the pool's reads took lately; nil: one of this reader alone.
	Tail *Tail
	// Codes remembers coding matrices; nil: one of this reader alone.
	Codes *erasure.Codes
	// StripeTimeout bounds the wait for one stripe, beginning when nothing
	// before it is left to do; 0 is DefaultStripeTimeout, negative is never.
	StripeTimeout time.Duration
}

// Reader reads one version of an object: the first d chunks of each stripe that
// arrive, verified block by block, reconstructed where data chunks are not among
// them. It serves one call at a time and has nothing to close.
//
// Errors: wire.ErrLost, ErrUnheard, ErrBreaker, ErrTimeout, ErrUnavailable if
// more than p chunks of a stripe failed or the stripe did not come within its
// time; wire.ErrLost and ErrCorrupt if a sealed version is not genuine, and
// wire.ErrEncrypted if it needs another key; what the context was cancelled with;
// what the io.Writer returned. Bytes that were written before an error are right.
type Reader struct {
	src    Source
	rec    wire.Record
	opts   ReaderOptions
	opener *seal.Opener // nil: what is stored is what is read
	size   int64        // of what is read
	bad    error        // of a record that cannot be read

	// What the stripes read so far taught, for the next: bits by chunk.
	ready, gone, slow uint64
	stats             Stats
}

// Stats counts what a Reader did.
type Stats struct {
	Chunks  int // asked for, hedges included
	Hedges  int // asked for because others were late
	Failed  int // did not come, or came damaged
	Rebuilt int // parts of stripes that needed reconstruction: degraded reads
}

// NewReader returns a Reader of the version that rec describes. A record that
// describes nothing readable shows in the first call.
func NewReader(src Source, rec wire.Record, opts ReaderOptions) *Reader {
	if opts.Tail == nil {
		opts.Tail = NewTail()
	}
	if opts.Codes == nil {
		opts.Codes = new(erasure.Codes)
	}
	if opts.StripeTimeout == 0 {
		opts.StripeTimeout = DefaultStripeTimeout
	}
	r := &Reader{src: src, rec: rec, opts: opts, size: rec.Size, ready: opts.Ready, gone: opts.Gone,
		bad: checkCut(rec.Size, rec.Stripe, int(rec.Data), int(rec.Parity))}
	if rec.Seal != (wire.Seal{}) && !opts.Stored && r.bad == nil {
		r.size = seal.Size(&rec)
		r.opener, r.bad = opts.Key.Open(rec.Seal, rec.Key, rec.Size)
	}
	return r
}

// checkCut tells whether an object of size bytes may be cut into stripes so.
func checkCut(size, stripe int64, data, parity int) error {
	switch {
	case size < 0 || size > wire.MaxObject:
		return fmt.Errorf("%w: object of %d bytes", wire.ErrTooLarge, size)
	case erasure.CheckShape(data, parity) != nil || data+parity > wire.MaxChunks:
		return fmt.Errorf("%w: shape %d+%d", wire.ErrProtocol, data, parity)
	case stripe < 1 || min(size, stripe) > wire.MaxChunkSize || (size-1)/stripe >= 1<<32-1:
		return fmt.Errorf("%w: object of %d bytes in stripes of %d", wire.ErrProtocol, size, stripe)
	}
	return nil
}

// Info describes the version.
func (r *Reader) Info() object.Info {
	i := object.Info{
		Key: r.rec.Key, Version: r.rec.Version, Size: r.size, Stripe: r.rec.Stripe,
		Shape: object.Shape{Data: int(r.rec.Data), Parity: int(r.rec.Parity)},
	}
	if r.rec.Expires != 0 {
		i.Expires = time.UnixMilli(r.rec.Expires)
	}
	if r.rec.Stored != 0 {
		i.Stored = time.UnixMilli(r.rec.Stored)
	}
	return i
}

// Stats is what all calls together did so far.
func (r *Reader) Stats() Stats { return r.stats }

// WriteRange writes n bytes from offset off to w, in order, and returns how many
// were written. n < 0 means to the end; bytes beyond the end are left out. While
// one stripe is written the next is read, if its memory can be had at once.
func (r *Reader) WriteRange(ctx context.Context, w io.Writer, off, n int64) (int64, error) {
	end, err := r.clip(off, n)
	switch {
	case err != nil:
		return 0, err
	case r.opener != nil:
		off = min(off, end)
		return r.open(ctx, r.opener.To(w, off, end-off), off, end)
	default:
		return r.writeStored(ctx, w, off, end)
	}
}

// open passes what is stored of a range on to an opening of it.
func (r *Reader) open(ctx context.Context, to *seal.Opening, off, end int64) (int64, error) {
	if off == end && r.size > 0 {
		return 0, nil // unlike no bytes of an empty object, which is to be proven
	}
	at, n := r.opener.Covering(off, end-off)
	_, err := r.writeStored(ctx, to, at, at+n)
	return to.Done(), err
}

// writeStored writes a range of what is stored.
func (r *Reader) writeStored(ctx context.Context, w io.Writer, off, end int64) (int64, error) {
	if off >= end {
		return 0, nil
	}
	f := flight{r: r, wake: make(chan struct{}, 1), next: off, end: end}
	defer f.stop()
	var written int64
	for {
		g, err := f.take(ctx)
		if g == nil || err != nil {
			return written, err
		}
		k, err := g.writeTo(w)
		written += k
		f.drop()
		if err != nil {
			return written, err
		}
	}
}

// ReadInto reads len(dst) bytes from offset off, fewer only at the object's end,
// and returns how many. Whole blocks are read straight into dst, and whole
// segments of a sealed version opened into it. With an error the bytes of dst beyond
// those returned have no meaning. ReadInto returns only when no source writes to dst
// any more, even if ctx is cancelled.
func (r *Reader) ReadInto(ctx context.Context, dst []byte, off int64) (int, error) {
	end, err := r.clip(off, int64(len(dst)))
	if err != nil {
		return 0, err
	}
	if r.opener != nil {
		off = min(off, end)
		n, err := r.open(ctx, r.opener.Into(dst[:end-off], off), off, end)
		return int(n), err
	}
	if off >= end {
		return 0, nil
	}
	f := flight{r: r, wake: make(chan struct{}, 1), next: off, end: end, dst: dst, off: off}
	defer f.stop()
	read := 0
	for {
		g, err := f.take(ctx)
		if g == nil || err != nil {
			return read, err
		}
		f.quiesce(g)
		g.land()
		read += g.n
		f.drop()
	}
}

// clip returns the end of a range within the object.
func (r *Reader) clip(off, n int64) (int64, error) {
	if r.bad != nil {
		return 0, r.bad
	}
	if off < 0 {
		return 0, fmt.Errorf("%w: offset %d", wire.ErrRequest, off)
	}
	if n < 0 || n > r.size-off {
		return r.size, nil
	}
	return off + n, nil
}
