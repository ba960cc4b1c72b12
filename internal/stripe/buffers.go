package stripe

import (
	"context"
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// Buffers is the memory that the engines of one process may use for stripes: a
// budget in bytes that bounds them all together, and released memory kept for
// the next stripe. It is safe for concurrent use. A nil *Buffers has no limit
// and keeps nothing.
//
// The budget counts what stripes need to begin. Memory that a stripe under way
// needs on top, for parity chunks of a degraded read and the like, is granted at
// once even beyond the limit, so that no stripe waits for another: at most p/d of
// the limit in all. Small stripes have an eighth of the limit beside it, so that
// they do not queue behind large ones. Feeding a Write from a Reader over the same Buffers may
// exhaust them and wait for itself.
type Buffers struct {
	limit int64

	mu      sync.Mutex
	used    int64           // bytes handed out
	kept    int64           // bytes on the shelves
	shelves map[int]*shelf  // by size
	waiters []*budgetWaiter // first come, first served
	sweeper *time.Timer     // armed while swept is true
	swept   bool
}

// shelf keeps memory of one size.
type shelf struct {
	mem [][]byte
	low int // fewest that lay here since the last sweep
}

type budgetWaiter struct {
	size    int64
	granted chan struct{}
}

const (
	smallestBuffer = 4 << 10
	// keepIdle is how long memory is kept that nobody needs; it is gone after
	// twice as long at most.
	keepIdle = 15 * time.Second
)

// NewBuffers returns Buffers with a budget of limit bytes. A stripe that needs
// more than limit is served when nothing else is in use, so that a limit of 0
// means one stripe at a time.
func NewBuffers(limit int64) *Buffers {
	return &Buffers{limit: max(limit, 0), shelves: make(map[int]*shelf)}
}

// InUse is how many bytes are handed out, rounded as they are allocated.
func (b *Buffers) InUse() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Kept is how many bytes lie ready for the next stripes beside those in use.
func (b *Buffers) Kept() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

// bufferSize rounds n up to one of four sizes per power of two, so that memory is
// reused for other objects at the price of a quarter more at most.
func bufferSize(n int) int {
	if n <= smallestBuffer {
		return smallestBuffer
	}
	step := 1 << (bits.Len(uint(n-1)) - 3)
	return (n + step - 1) &^ (step - 1)
}

// smallStripe is up to how many bytes a stripe does not queue behind large ones:
// it may take an eighth of the limit on top of it.
const smallStripe = 512 << 10

// Waiting tells whether somebody waits for memory that others hold.
func (b *Buffers) Waiting() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiters) > 0
}

// acquire waits for n bytes of the budget and returns memory of that length with
// undefined contents.
func (b *Buffers) acquire(ctx context.Context, n int) ([]byte, error) {
	if b == nil || n == 0 {
		return make([]byte, n), nil
	}
	size := bufferSize(n)
	b.mu.Lock()
	small := size <= smallStripe && b.used+int64(size) <= b.limit+b.limit/8
	if small || len(b.waiters) == 0 && b.fits(int64(size)) {
		return b.take(n, size), nil
	}
	wait := &budgetWaiter{size: int64(size), granted: make(chan struct{})}
	b.waiters = append(b.waiters, wait)
	b.mu.Unlock()
	select {
	case <-wait.granted:
		b.mu.Lock()
		b.used -= int64(size) // take counts it again
		return b.take(n, size), nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-wait.granted:
		b.used -= int64(size)
	default:
		for i, other := range b.waiters {
			if other == wait {
				b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
				break
			}
		}
	}
	b.grant()
	return nil, fmt.Errorf("wait for stripe memory: %w", context.Cause(ctx))
}

// tryAcquire is acquire where it need not wait; nil otherwise.
func (b *Buffers) tryAcquire(n int) []byte {
	if b == nil || n == 0 {
		return make([]byte, n)
	}
	size := bufferSize(n)
	b.mu.Lock()
	if len(b.waiters) > 0 || !b.fits(int64(size)) {
		b.mu.Unlock()
		return nil
	}
	return b.take(n, size)
}

// extra returns n bytes at once, beyond the limit if need be. It is for stripes
// that hold memory already.
func (b *Buffers) extra(n int) []byte {
	if b == nil || n == 0 {
		return make([]byte, n)
	}
	b.mu.Lock()
	return b.take(n, bufferSize(n))
}

// release gives memory back. If reuse is false somebody may still write to it: it
// is left to the garbage collector, and only its share of the budget is free.
func (b *Buffers) release(mem []byte, reuse bool) {
	if b == nil || cap(mem) == 0 {
		return
	}
	size := cap(mem)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= int64(size)
	if reuse && b.used+b.kept+int64(size) <= b.limit {
		s := b.shelves[size]
		if s == nil {
			s = new(shelf)
			b.shelves[size] = s
		}
		s.mem = append(s.mem, mem[:size])
		b.kept += int64(size)
		b.armSweep()
	}
	b.grant()
}

// fits tells whether size more bytes may be handed out. b.mu is held.
func (b *Buffers) fits(size int64) bool {
	return b.used+size <= b.limit || b.used <= 0
}

// grant lets waiters go on in their order. b.mu is held.
func (b *Buffers) grant() {
	for len(b.waiters) > 0 && b.fits(b.waiters[0].size) {
		w := b.waiters[0]
		b.waiters[0] = nil
		b.waiters = b.waiters[1:]
		b.used += w.size
		close(w.granted)
	}
}

// take hands out n bytes of the given size, kept ones if there are any. It
// unlocks b.mu, because new memory costs time.
func (b *Buffers) take(n, size int) []byte {
	b.used += int64(size)
	if s := b.shelves[size]; s != nil && len(s.mem) > 0 {
		last := len(s.mem) - 1
		mem := s.mem[last]
		s.mem[last] = nil
		s.mem = s.mem[:last]
		s.low = min(s.low, last)
		b.kept -= int64(size)
		b.mu.Unlock()
		return mem[:n]
	}
	for other, s := range b.shelves {
		for b.kept > 0 && b.used+b.kept > b.limit && len(s.mem) > 0 {
			b.drop(s, other, 1)
		}
	}
	b.mu.Unlock()
	return make([]byte, n, size)
}

// drop forgets the k memories that lay longest on a shelf. b.mu is held.
func (b *Buffers) drop(s *shelf, size, k int) {
	rest := copy(s.mem, s.mem[k:])
	clear(s.mem[rest:])
	s.mem = s.mem[:rest]
	s.low = min(s.low, rest)
	b.kept -= int64(k) * int64(size)
}

// armSweep makes sure that kept memory is looked at again. b.mu is held.
func (b *Buffers) armSweep() {
	switch {
	case b.swept:
	case b.sweeper == nil:
		b.swept = true
		b.sweeper = time.AfterFunc(keepIdle, b.sweep)
	default:
		b.swept = true
		b.sweeper.Reset(keepIdle)
	}
}

// sweep forgets memory that nobody took since the last sweep.
func (b *Buffers) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.swept = false
	for size, s := range b.shelves {
		b.drop(s, size, s.low)
		s.low = len(s.mem)
		if s.low == 0 {
			delete(b.shelves, size)
		}
	}
	if b.kept > 0 {
		b.armSweep()
	}
}
