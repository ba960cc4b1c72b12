package stripe

import (
	"math/bits"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// gather collects the chunks of one span until they suffice. The reader's
// goroutine asks and decides; the Sink calls of the source's goroutines fill the
// slots.
type gather struct {
	span
	r     *Reader
	wake  chan<- struct{} // capacity 1: something is new
	start time.Time

	// Where the span's own blocks go: out holds the span's bytes from outAt on.
	// head and tail stand in for the first and last block where out holds only
	// a part of them.
	out        []byte
	outAt      int
	head, tail []byte
	tailAt     int
	patches    []patch

	// Of the reader's goroutine alone.
	asks    []ask
	hedgeAt time.Time // zero: never
	near    bool      // hedgeAt was brought forward
	patient time.Duration

	mu       sync.Mutex
	slots    []slot // one per chunk of the stripe
	pending  int    // chunks asked for that are neither complete nor failed
	complete int    // chunks of which every block in the columns is at hand
	missing  int    // own chunks that are not complete
	busy     int    // blocks being filled
	closed   bool   // nothing more is wanted
}

// slot is one chunk's part of a gather.
type slot struct {
	state chunkState
	busy  bool   // block next is being filled
	next  uint32 // blocks before it are at hand, verified
	end   uint32
	spare []byte // where a chunk that is not the span's own goes
	err   error
}

type chunkState uint8

const (
	chunkIdle chunkState = iota
	chunkAsked
	chunkComplete
	chunkFailed
)

// ask is one Read of the source.
type ask struct {
	chunks uint64
	cancel func()
}

// patch is a rebuilt block whose own place is still being filled by a source that
// was given up.
type patch struct {
	at   int // in the span
	slot int
	mem  []byte
}

func (r *Reader) newGather(s span, wake chan<- struct{}) *gather {
	g := &gather{span: s, r: r, wake: wake, start: time.Now()}
	g.slots = make([]slot, s.layout.Chunks())
	for i := range g.slots {
		sl := &g.slots[i]
		sl.next, sl.end = s.from, s.end(i)
		switch {
		case sl.end <= s.from:
			sl.state = chunkComplete
			g.complete++
		case s.wants(i):
			g.missing++
		}
	}
	g.patient = r.opts.Tail.begin(s.n)
	return g
}

// begin asks for the first chunks.
func (g *gather) begin() {
	var chunks uint64
	switch {
	case g.r.opts.Policy == PolicyAll:
		for i := range g.slots {
			if g.slots[i].state == chunkIdle && g.r.gone&(1<<i) == 0 {
				chunks |= 1 << i
			}
		}
	case g.whole() || g.ownMask()&(g.r.gone|g.r.slow) != 0:
		chunks = g.pick(g.layout.Data()-g.complete, true)
	default:
		chunks = g.ownMask()
	}
	if g.r.opts.Policy == PolicyHedged {
		g.hedgeAt = g.start.Add(g.patient)
	}
	g.request(chunks)
}

// ownMask is the set of the span's own chunks.
func (g *gather) ownMask() uint64 { return 1<<g.last - 1<<g.first }

// advance asks for more chunks where others failed or are late, and tells whether
// the gather has what it needs. Its error is final and not before its time: what
// is under way can no longer suffice.
func (g *gather) advance(now time.Time) (bool, error) {
	g.mu.Lock()
	if g.decided() {
		g.mu.Unlock()
		return true, nil
	}
	var chunks uint64
	d := g.layout.Data()
	alive := g.complete + g.pending
	if g.orphaned() && alive < d {
		chunks = g.pick(d-alive, true)
		if alive+bits.OnesCount64(chunks) < d {
			err := g.failure()
			g.mu.Unlock()
			return false, err
		}
	} else if g.hurry(now); !g.hedgeAt.IsZero() && !now.Before(g.hedgeAt) {
		chunks = g.hedge(now, d, alive)
	}
	g.mu.Unlock()
	if chunks != 0 {
		g.request(chunks)
	}
	return false, nil
}

// nearFloor is the least time that the last chunks have beside the others.
const nearFloor = 2 * time.Millisecond

// hurry has chunks late sooner once most of those asked for are in: they share
// links and processors, so that one which is healthy comes soon after the others.
// Up to p that have not come half of the time later are late. g.mu is held.
func (g *gather) hurry(now time.Time) {
	if g.near || g.hedgeAt.IsZero() || !g.nearly() {
		return
	}
	g.near = true
	if at := now.Add(max(now.Sub(g.start)/2, nearFloor)); at.Before(g.hedgeAt) {
		g.hedgeAt = at
	}
}

// nearly tells whether up to p chunks are under way and others have come. g.mu is
// held.
func (g *gather) nearly() bool { return g.complete > 0 && g.pending <= g.layout.Parity() }

// decided tells whether the chunks at hand suffice. g.mu is held.
func (g *gather) decided() bool { return g.missing == 0 || g.complete >= g.layout.Data() }

// orphaned tells whether an own chunk will not come, so that others must.
func (g *gather) orphaned() bool {
	for i := g.first; i < g.last; i++ {
		if s := g.slots[i].state; s == chunkIdle || s == chunkFailed {
			return true
		}
	}
	return false
}

// hedge picks chunks in place of late ones, as far as the budget goes: enough to
// do without one late chunk at least, without all of them at most. g.mu is held.
func (g *gather) hedge(now time.Time, d, alive int) uint64 {
	g.hedgeAt = now.Add(g.patient)
	g.patient *= 2
	chunks := g.pick(d-g.complete, false)
	most, least := bits.OnesCount64(chunks), d+1-alive
	if most < least || most == 0 {
		g.hedgeAt = time.Time{}
		return 0
	}
	n := g.r.opts.Tail.spend(max(least, 1), most)
	g.r.stats.Hedges += n
	return g.pick(n, false)
}

// pick returns the best n chunks not asked for yet, or fewer. Chunks said to be
// gone are picked last, or only if gone is true.
func (g *gather) pick(n int, gone bool) uint64 {
	var chunks uint64
	whole := g.whole()
	for rank := range ranks {
		if rank == rankGone && !gone {
			break
		}
		for i := range g.slots {
			if n <= 0 {
				return chunks
			}
			if g.slots[i].state == chunkIdle && g.rank(i, whole) == rank {
				chunks |= 1 << i
				n--
			}
		}
	}
	return chunks
}

const (
	rankOwn = iota
	rankReadyData
	rankReadyParity
	rankData
	rankParity
	rankSlow
	rankGone
	ranks
)

// rank orders chunks by what they are likely to cost: waking a node costs more
// than reconstruction, reconstruction more than nothing.
func (g *gather) rank(i int, whole bool) int {
	bit := uint64(1) << i
	data := i < g.layout.Data()
	switch {
	case g.r.gone&bit != 0:
		return rankGone
	case g.r.slow&bit != 0:
		return rankSlow
	case !whole && g.wants(i):
		return rankOwn
	case g.r.ready&bit != 0 && data:
		return rankReadyData
	case g.r.ready&bit != 0:
		return rankReadyParity
	case data:
		return rankData
	default:
		return rankParity
	}
}

// request asks the source for the span's columns of some chunks. Only the
// reader's goroutine calls it, without g.mu: the source may answer at once.
func (g *gather) request(chunks uint64) {
	n := bits.OnesCount64(chunks)
	if n == 0 {
		return
	}
	wants := make([]wire.Want, 0, n)
	for i := range g.slots {
		if chunks&(1<<i) == 0 {
			continue
		}
		wants = append(wants, wire.Want{Chunk: uint16(i), From: g.from, To: g.slots[i].end})
		if !g.wants(i) { // an idle slot is this goroutine's own
			g.slots[i].spare = g.r.opts.Buffers.extra(g.size(i))
		}
	}
	g.r.stats.Chunks += n
	g.mu.Lock()
	for _, w := range wants {
		g.slots[w.Chunk].state = chunkAsked
	}
	g.pending += n
	g.mu.Unlock()
	cancel := g.r.src.Read(g.stripe, wants, g)
	g.asks = append(g.asks, ask{chunks: chunks, cancel: cancel})
}

// place is the memory of a block that is asked for.
func (g *gather) place(chunk int, block uint32) []byte {
	n := g.blockLen(chunk, block)
	if !g.wants(chunk) {
		at := int(block-g.from) * wire.BlockSize
		return g.slots[chunk].spare[at : at+n : at+n]
	}
	at := g.at(chunk, block)
	switch {
	case g.head != nil && at == 0:
		return g.head
	case g.tail != nil && at == g.tailAt:
		return g.tail
	default:
		at -= g.outAt
		return g.out[at : at+n : at+n]
	}
}

// Buffer implements Sink.
func (g *gather) Buffer(b wire.Block, n int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := int(b.Chunk)
	if g.closed || i >= len(g.slots) || g.slots[i].state != chunkAsked || g.slots[i].busy {
		return nil
	}
	s := &g.slots[i]
	if b.Stripe != g.stripe || b.Index != s.next || n != g.blockLen(i, s.next) {
		g.fail(i, wire.Errorf(wire.CodeCorrupt, "block %d of stripe %d with %d bytes came, want block %d of stripe %d with %d",
			b.Index, b.Stripe, n, s.next, g.stripe, g.blockLen(i, s.next)))
		return nil
	}
	s.busy = true
	g.busy++
	return g.place(i, s.next)
}

// Block implements Sink. It sums the block right after its arrival, on the
// source's goroutine, while it is in the cache.
func (g *gather) Block(b wire.Block, body []byte, err error) {
	i := int(b.Chunk)
	g.mu.Lock()
	if i >= len(g.slots) || !g.slots[i].busy {
		g.mu.Unlock()
		return
	}
	s := &g.slots[i]
	if !g.closed && err == nil && s.state == chunkAsked {
		mem, index := g.place(i, s.next), s.next
		g.mu.Unlock()
		sum := wire.Checksum(g.r.rec.Version, g.stripe, b.Chunk, index, mem)
		if b.Stripe != g.stripe || b.Index != index || len(body) != len(mem) || sum != b.Sum {
			err = wire.Errorf(wire.CodeCorrupt, "block %d", index)
		}
		g.mu.Lock()
	}
	defer g.mu.Unlock()
	s.busy = false
	g.busy--
	switch {
	case g.closed:
		g.notify()
	case s.state != chunkAsked:
	case err != nil:
		g.fail(i, err)
	default:
		if s.next++; s.next == s.end {
			s.state = chunkComplete
			g.pending--
			g.complete++
			if g.wants(i) {
				g.missing--
			}
			if g.decided() || g.nearly() {
				g.notify()
			}
		}
	}
}

// End implements Sink.
func (g *gather) End(chunk uint16, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := int(chunk)
	if g.closed || i >= len(g.slots) || g.slots[i].state != chunkAsked {
		return
	}
	if err == nil {
		err = wire.Errorf(wire.CodeCorrupt, "ended after block %d of %d", g.slots[i].next, g.slots[i].end)
	}
	g.fail(i, err)
}

// fail gives up a chunk that was asked for. g.mu is held.
func (g *gather) fail(i int, err error) {
	g.slots[i].state, g.slots[i].err = chunkFailed, err
	g.pending--
	g.notify()
}

func (g *gather) notify() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}
