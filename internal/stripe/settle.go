package stripe

import (
	"fmt"
	"io"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// close ends the gather: nothing that arrives from now on is taken, and what has
// not arrived is cancelled. A second close does nothing.
func (g *gather) close() {
	g.mu.Lock()
	g.closed = true
	var late uint64
	for i := range g.slots {
		if g.slots[i].state == chunkAsked {
			late |= 1 << i
		}
	}
	g.mu.Unlock()
	for i := range g.asks {
		if a := &g.asks[i]; a.cancel != nil {
			if a.chunks&late != 0 {
				a.cancel()
			}
			a.cancel = nil
		}
	}
}

// settle closes a gather that has what it needs, keeps what it taught for the
// next spans, and rebuilds the own blocks that are missing.
func (g *gather) settle() error {
	g.close()
	g.r.opts.Tail.end(g.n, time.Since(g.start))
	for i := range g.slots { // nobody changes them after close, but for busy
		bit := uint64(1) << i
		switch s := &g.slots[i]; {
		case s.state == chunkComplete && s.end > g.from && g.r.ready != 0:
			g.r.ready |= bit
		case s.state == chunkAsked && g.asks[0].chunks&bit != 0:
			g.r.slow |= bit
		case s.state == chunkFailed:
			g.r.stats.Failed++
			if kindOf(s.err) == kindLost {
				g.r.gone |= bit
			} else {
				g.r.slow |= bit
			}
		}
	}
	if g.missing == 0 {
		return nil
	}
	g.r.stats.Rebuilt++
	return g.rebuild()
}

// rebuild reconstructs the own blocks that are missing, column by column. A block
// whose place may still be written to is rebuilt beside it, as a patch.
func (g *gather) rebuild() error {
	code, err := g.r.opts.Codes.Get(g.layout.Data(), g.layout.Parity())
	if err != nil {
		return fmt.Errorf("stripe %d: %w", g.stripe, err)
	}
	n := len(g.slots)
	both := make([][]byte, 2*n)
	chunks, rebuilt := both[:n], both[n:]
	for block := g.from; block < g.to; block++ {
		clear(both)
		need := false
		for i := range g.slots {
			s := &g.slots[i]
			switch {
			case block >= s.end:
				chunks[i] = []byte{} // it has nothing in this column, and that is known
			case block < s.next:
				chunks[i] = g.place(i, block)
			case g.wants(i):
				rebuilt[i] = g.rebuildPlace(i, block)
				need = true
			}
		}
		if !need {
			continue
		}
		width := min(g.layout.ChunkSize()-int(block)*wire.BlockSize, wire.BlockSize)
		if err := code.Reconstruct(chunks, rebuilt, width); err != nil {
			return fmt.Errorf("stripe %d: %w: %w", g.stripe, wire.ErrInternal, err)
		}
	}
	return nil
}

func (g *gather) rebuildPlace(i int, block uint32) []byte {
	s := &g.slots[i]
	if block == s.next && g.isBusy(i) {
		p := patch{at: g.at(i, block), slot: i, mem: g.r.opts.Buffers.extra(g.blockLen(i, block))}
		g.patches = append(g.patches, p)
		return p.mem
	}
	return g.place(i, block)
}

func (g *gather) isBusy(i int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.slots[i].busy
}

// writeTo writes the wanted bytes, whose span is all in out.
func (g *gather) writeTo(w io.Writer) (int64, error) {
	var written int64
	pos, end := g.skip, g.skip+g.n
	write := func(p []byte) error {
		if len(p) == 0 {
			return nil
		}
		n, err := w.Write(p)
		written += int64(n)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	}
	for pos < end {
		next := end
		var p patch
		if i := g.firstPatch(pos); i >= 0 && g.patches[i].at < end {
			p = g.patches[i]
			next = max(p.at, pos)
		}
		if err := write(g.out[pos:next]); err != nil {
			return written, err
		}
		pos = next
		if p.mem == nil {
			break
		}
		stop := min(p.at+len(p.mem), end)
		if err := write(p.mem[pos-p.at : stop-p.at]); err != nil {
			return written, err
		}
		pos = stop
	}
	return written, nil
}

// firstPatch is the patch nearest to the span's byte pos, at or after it or
// around it; -1 if there is none.
func (g *gather) firstPatch(pos int) int {
	best := -1
	for i, p := range g.patches {
		if p.at+len(p.mem) > pos && (best < 0 || p.at < g.patches[best].at) {
			best = i
		}
	}
	return best
}

// land brings into the caller's memory what did not get there by itself. The
// gather is quiet.
func (g *gather) land() {
	for _, p := range g.patches {
		copy(g.place(p.slot, g.slots[p.slot].next), p.mem)
	}
	g.landEdge(g.head, 0)
	g.landEdge(g.tail, g.tailAt)
}

func (g *gather) landEdge(mem []byte, at int) {
	lo, hi := max(at, g.outAt), min(at+len(mem), g.outAt+len(g.out))
	if lo < hi {
		copy(g.out[lo-g.outAt:hi-g.outAt], mem[lo-at:])
	}
}

// quiet tells whether no source writes to the span's own places any more. It is
// asked after close.
func (g *gather) quiet() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := g.first; i < g.last; i++ {
		if g.slots[i].busy {
			return false
		}
	}
	return true
}

// release gives the gather's memory back, except what a source may still write
// to. mem is the span's memory, nil if it is the caller's.
func (g *gather) release(mem []byte) {
	b := g.r.opts.Buffers
	ownBusy := false
	for i := range g.slots {
		s := &g.slots[i]
		busy := g.isBusy(i)
		if g.wants(i) {
			ownBusy = ownBusy || busy
		} else if s.spare != nil {
			b.release(s.spare, !busy)
		}
	}
	b.release(mem, !ownBusy)
	b.release(g.head, !ownBusy)
	b.release(g.tail, !ownBusy)
	for _, p := range g.patches {
		b.release(p.mem, true)
	}
}
