// Package spend watches what a pool spends, and stops it from spending more than
// it may: Bucket bounds a rate, Breaker bounds invocations per second and dollars
// per hour, Meter books what sessions cost by their cause.
//
// It is pure. Time comes in as monotonic time since an origin of the caller's
// choice, the same for all calls on one value. Everything here may be used from
// several goroutines, whose times may come slightly out of order: an earlier one
// than the latest seen counts as the latest. What is negative counts as zero, and
// so do dollars that are not a number.
package spend

import (
	"math"
	"time"
)

// Never is how long to wait for what no waiting brings, or none that a Duration
// could hold.
const Never time.Duration = math.MaxInt64

// dollars is d, or 0 for what must not get into a sum.
func dollars(d float64) float64 {
	if d > 0 {
		return d
	}
	return 0
}
