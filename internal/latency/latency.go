// Package latency keeps the distribution of durations in bounded memory.
package latency

import (
	"math/bits"
	"time"
)

// precision is how many bits of a duration are kept exactly, so that a quantile
// is off by less than one part in 2^precision.
const precision = 6

// Histogram counts durations. Its zero value is empty; it takes 29 KiB whatever
// it counts. It is for one goroutine.
type Histogram struct {
	counts [(64 - precision + 1) << precision]uint64
	total  uint64
	sum    time.Duration
	max    time.Duration
}

// Add counts one duration; one below zero counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[slot(uint64(d))]++
	h.total++
	h.sum += d
	h.max = max(h.max, d)
}

// Merge counts everything that o has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration, exactly; 0 if there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean is the average duration, exactly; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

// Quantile is a duration that the share q, 0 to 1, of all durations do not
// exceed, at most 1.6 % too long; 0 if there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q*float64(h.total) + 0.999999)
	rank = min(max(rank, 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(longest(i), h.max)
		}
	}
	return h.max
}

// slot finds the counter of a duration: below 2^precision each has its own,
// above that every doubling has 2^precision of them.
func slot(ns uint64) int {
	shift := max(bits.Len64(ns)-precision-1, 0)
	return shift<<precision + int(ns>>shift)
}

// longest is the longest duration that a counter counts.
func longest(slot int) time.Duration {
	if slot < 2<<precision {
		return time.Duration(slot)
	}
	shift := slot>>precision - 1
	mantissa := uint64(slot - shift<<precision)
	return time.Duration((mantissa+1)<<shift - 1)
}
