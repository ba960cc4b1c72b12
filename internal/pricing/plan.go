// Package pricing is the arithmetic of money: what platforms charge for sessions
// and rented caches for memory, what a pool costs an hour, and how long it pays a
// node to stay awake. It is pure, and prices.go is the one place that has prices.
//
// Money is dollars, memory bytes, and a GB is 1<<30 bytes, as those who charge
// count it.
package pricing

import (
	"math"
	"time"
)

const (
	gb   = 1 << 30
	mb   = 1 << 20
	most = math.MaxInt64
)

// Plan is how a platform charges for functions of one size. Its fields are those
// of platform.Price, so that one converts to the other. The zero Plan charges
// nothing.
type Plan struct {
	// Quantum is the unit to which session time is rounded up; zero where time
	// is not billed.
	Quantum time.Duration
	// PerGBSecond is charged per GB of the function's memory and second of
	// billed time.
	PerGBSecond float64
	// PerInvocation is charged for each session whatever it lasts.
	PerInvocation float64
	// BilledStart tells that the time a fresh instance takes to start is billed.
	BilledStart bool
}

// Billed is the time charged for a session that ran for duration, in an instance
// that took init to start (zero in a warm session): a whole number of quanta,
// none for a session of no time. What is negative counts as zero.
func (p Plan) Billed(duration, init time.Duration) time.Duration {
	if p.Quantum <= 0 {
		return 0
	}
	d := max(duration, 0)
	if p.BilledStart {
		d += min(max(init, 0), most-d)
	}
	rest := d % p.Quantum
	if rest == 0 {
		return d
	}
	return d - rest + min(p.Quantum, most-(d-rest))
}

// Rate is what a second of billed time costs with so many bytes of memory.
func (p Plan) Rate(memory int64) float64 {
	if p.Quantum <= 0 {
		return 0
	}
	return float64(memory) / gb * p.PerGBSecond
}

// Cost is what so many sessions cost that were billed so much time together, in
// functions of memory bytes.
func (p Plan) Cost(memory int64, billed time.Duration, invocations uint64) float64 {
	return billed.Seconds()*p.Rate(memory) + float64(invocations)*p.PerInvocation
}
