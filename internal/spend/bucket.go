package spend

import (
	"math"
	"sync"
	"time"
)

// Bucket is a token bucket: in any time t it lets through at most burst + rate x t.
// It starts full. The zero Bucket lets everything through.
type Bucket struct {
	rate, burst float64

	mu   sync.Mutex
	owed float64       // tokens missing from a full bucket, at the time at
	at   time.Duration // of the last take
}

// NewBucket makes a bucket that gains rate tokens a second and holds burst of them
// at most. A rate of 0, or without end, is no limit. A burst of 0 is one second's worth, at least
// one token; more than the burst can never be taken at once.
func NewBucket(rate, burst float64) *Bucket {
	if math.IsInf(rate, 1) {
		rate = 0
	}
	if !(burst > 0) {
		burst = max(rate, 1)
	}
	return &Bucket{rate: rate, burst: burst}
}

// Take takes n tokens if there are as many. If not it takes none and says after
// what time there will be, should nobody else take any: Never if n is above the
// burst.
func (b *Bucket) Take(now time.Duration, n int64) (ok bool, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if again := b.wait(now, n); again > 0 {
		return false, again
	}
	if n > 0 && b.rate > 0 {
		b.owed, b.at = b.missing(now)+float64(n), max(b.at, now)
	}
	return true, 0
}

// Wait is after what time n tokens can be taken, 0 if now. It takes none.
func (b *Bucket) Wait(now time.Duration, n int64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wait(now, n)
}

func (b *Bucket) wait(now time.Duration, n int64) time.Duration {
	now = max(now, b.at)
	lacks := func(d time.Duration) float64 { return b.missing(now+d) + float64(n) - b.burst }
	switch {
	case n <= 0 || !(b.rate > 0) || lacks(0) <= 0:
		return 0
	case float64(n) > b.burst:
		return Never
	}
	ns := math.Ceil(lacks(0) / b.rate * 1e9)
	// Whoever comes back when told must not be sent away again, so what rounding
	// took off is put on.
	for step := 1.0; ns < float64(Never-now); step *= 2 {
		if d := time.Duration(ns); lacks(d) <= 0 {
			return d
		}
		ns += step
	}
	return Never
}

// missing is how many tokens a full bucket has more. It is reckoned from the last
// take, not from the last look, so that looking often rounds nothing away.
func (b *Bucket) missing(now time.Duration) float64 {
	return max(0, b.owed-b.rate*float64(max(now-b.at, 0))/1e9)
}
