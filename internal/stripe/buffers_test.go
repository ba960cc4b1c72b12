package stripe

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBufferSizes(t *testing.T) {
	for _, tt := range [][2]int{{1, 4096}, {4096, 4096}, {4097, 5120}, {10 << 20, 10 << 20}, {12 << 20, 12 << 20}, {10<<20 + 1, 12 << 20}, {1 << 20, 1 << 20}} {
		if got := bufferSize(tt[0]); got != tt[1] {
			t.Errorf("bufferSize(%d) = %d, want %d", tt[0], got, tt[1])
		}
	}
	for n := 1; n < 1<<22; n += 999 {
		if got := bufferSize(n); got < n || n > smallestBuffer && got > n+n/4 {
			t.Fatalf("bufferSize(%d) = %d", n, got)
		}
	}
}

func TestBuffersWaitInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuffers(100 << 20)
		held, _ := b.acquire(t.Context(), 64<<20)
		var served atomic.Int32
		for i, n := range []int{64 << 20, 8 << 20, 8 << 20} {
			go func() {
				time.Sleep(time.Duration(i+1) * time.Millisecond)
				mem, err := b.acquire(t.Context(), n)
				if err != nil || len(mem) != n {
					t.Errorf("acquire: %d bytes, %v", len(mem), err)
				}
				served.Add(1)
				time.Sleep(time.Duration(i+1) * time.Millisecond)
				b.release(mem, true)
			}()
		}
		time.Sleep(time.Second)
		if n := served.Load(); n != 0 {
			t.Errorf("%d did not wait for the first in the queue", n)
		}
		if b.tryAcquire(1) != nil {
			t.Error("tryAcquire overtook the queue")
		}
		b.release(held, true)
		time.Sleep(time.Second)
		if n := served.Load(); n != 3 || b.InUse() != 0 {
			t.Errorf("%d were served, %d bytes in use", n, b.InUse())
		}
	})
}

// A small stripe does not queue behind large ones, and small ones together take
// no more than an eighth of the limit beside it.
func TestSmallStripesOvertake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuffers(16 << 20)
		held, _ := b.acquire(t.Context(), 16<<20)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go b.acquire(ctx, 8<<20)
		synctest.Wait()
		if !b.Waiting() {
			t.Error("nobody waits for memory that is all in use")
		}
		var small [][]byte
		for range 4 {
			mem, err := b.acquire(ctx, 512<<10)
			if err != nil {
				t.Fatalf("a small stripe waited behind a large one: %v", err)
			}
			small = append(small, mem)
		}
		if _, err := b.acquire(ctx, 512<<10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the small stripe beyond the eighth got memory: %v", err)
		}
		for _, mem := range append(small, held) {
			b.release(mem, true)
		}
		synctest.Wait()
		if b.InUse() != 0 || b.Waiting() {
			t.Errorf("%d bytes in use, waiting %v", b.InUse(), b.Waiting())
		}
	})
}

func TestBuffersGiveUpWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuffers(64 << 10)
		held, _ := b.acquire(t.Context(), 64<<10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			time.Sleep(time.Millisecond)
			mem, err := b.acquire(t.Context(), 4096)
			if err != nil {
				t.Error(err)
			}
			b.release(mem, true)
		}()
		if _, err := b.acquire(ctx, 64<<10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		b.release(held, false)
		synctest.Wait()
		if b.InUse() != 0 {
			t.Errorf("%d bytes in use", b.InUse())
		}
	})
}

func TestBuffersServeWhatIsBeyondTheLimitAlone(t *testing.T) {
	b := NewBuffers(0)
	mem, err := b.acquire(t.Context(), 1<<20)
	if err != nil || len(mem) != 1<<20 {
		t.Fatal(err)
	}
	if b.tryAcquire(1) != nil {
		t.Error("a second one was served")
	}
	if extra := b.extra(5000); len(extra) != 5000 {
		t.Errorf("extra gave %d bytes", len(extra))
	}
}

func TestBuffersReuseAndBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBuffers(1 << 20)
		first, _ := b.acquire(t.Context(), 512<<10)
		b.release(first, true)
		second, _ := b.acquire(t.Context(), 500<<10)
		if &first[0] != &second[0] || len(second) != 500<<10 {
			t.Error("memory was not reused")
		}
		b.release(second, true)
		small, _ := b.acquire(t.Context(), 768<<10)
		if b.Kept()+b.InUse() > 1<<20 {
			t.Errorf("%d bytes kept beside %d in use", b.Kept(), b.InUse())
		}
		b.release(small, true)
		time.Sleep(2*keepIdle + time.Second)
		if b.Kept() != 0 {
			t.Errorf("%d bytes kept after idling", b.Kept())
		}
	})
}

func TestTail(t *testing.T) {
	tail := NewTail()
	if got := tail.begin(1000); got != lateUnknown {
		t.Errorf("late before any sample = %v", got)
	}
	for i := range 1000 {
		d := 20 * time.Millisecond
		if i%50 == 0 {
			d = 10 * time.Second
		}
		tail.end(1000, d)
		tail.end(10<<20, time.Microsecond)
	}
	if got := tail.begin(1000); got != 20*time.Millisecond {
		t.Errorf("late = %v, want that of the many", got)
	}
	if got := tail.begin(10 << 20); got != lateFloor {
		t.Errorf("late = %v, want the floor", got)
	}
	for range 64 {
		tail.end(100<<10, time.Hour)
	}
	if got := tail.begin(100 << 10); got != lateCeiling {
		t.Errorf("late = %v, want the ceiling", got)
	}
	if got := tail.spend(1, 1000); got != 100 {
		t.Errorf("full budget = %d, want 100", got)
	}
	if got := tail.spend(1, 1); got != 0 {
		t.Errorf("empty budget gave %d", got)
	}
	for range 10 {
		tail.begin(1)
	}
	if got := tail.spend(2, 3); got != 0 {
		t.Errorf("ten reads earned %d, less than the least asked for", got)
	}
	if got := tail.spend(1, 3); got != 1 {
		t.Errorf("ten reads earned %d, want 1", got)
	}
}
