package stripe

import (
	"math/bits"
	"slices"
	"sync"
	"time"
)

// Tail knows how long the reads of one pool took lately, and so when a chunk is
// late; and it holds the budget of hedges, the extra chunks that are asked for in
// place of late ones. The readers of a pool share one. It is safe for concurrent
// use.
type Tail struct {
	mu      sync.Mutex
	classes [tailClasses]tailClass
	tokens  int // in tenths of a chunk
}

// tailClass is what was seen of reads of about one size.
type tailClass struct {
	ring [tailSamples]time.Duration
	seen int           // samples so far
	late time.Duration // of the ring, refreshed every tailRefresh samples
}

const (
	tailClasses = 4  // up to 64 KiB, 512 KiB, 4 MiB, more
	tailSamples = 64 // per class
	tailRefresh = 8

	lateFloor   = 5 * time.Millisecond
	lateCeiling = time.Second
	lateUnknown = 50 * time.Millisecond // before tailRefresh samples

	// Hedges must not double the load of a pool that is slow because it is
	// overloaded: every read earns a tenth of an extra chunk.
	hedgeCost  = 10
	hedgeLimit = 100 * hedgeCost
)

// NewTail returns a Tail that has seen nothing and has its hedging budget full.
func NewTail() *Tail { return &Tail{tokens: hedgeLimit} }

func classOf(bytes int) int {
	return min(max(bits.Len(uint(max(bytes, 1)-1))-14, 0)/3, tailClasses-1)
}

// begin counts a read of so many bytes and returns after how long it is late.
func (t *Tail) begin(bytes int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tokens = min(t.tokens+1, hedgeLimit)
	c := &t.classes[classOf(bytes)]
	if c.late == 0 {
		return lateUnknown
	}
	return c.late
}

// end notes that a read of so many bytes took d.
func (t *Tail) end(bytes int, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.classes[classOf(bytes)]
	c.ring[c.seen%tailSamples] = d
	c.seen++
	if c.seen%tailRefresh != 0 {
		return
	}
	sorted := c.ring
	n := min(c.seen, tailSamples)
	slices.Sort(sorted[:n])
	c.late = min(max(sorted[n*95/100], lateFloor), lateCeiling)
}

// spend takes the budget for up to most hedged chunks and returns for how many;
// 0 if it does not suffice for least.
func (t *Tail) spend(least, most int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(most, t.tokens/hedgeCost)
	if n < least {
		return 0
	}
	t.tokens -= n * hedgeCost
	return n
}
