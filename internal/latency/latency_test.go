package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestEmpty(t *testing.T) {
	var h Histogram
	if h.Count() != 0 || h.Max() != 0 || h.Mean() != 0 || h.Quantile(0.5) != 0 {
		t.Errorf("empty: count %d, max %v, mean %v, median %v", h.Count(), h.Max(), h.Mean(), h.Quantile(0.5))
	}
}

func TestSlotHoldsDuration(t *testing.T) {
	for _, ns := range []uint64{0, 1, 63, 64, 127, 128, 129, 255, 256, 1e3, 1e6, 1e9, 1 << 40, math.MaxInt64} {
		s := slot(ns)
		if high := uint64(longest(s)); high < ns || float64(high-ns) > float64(ns)/64 {
			t.Errorf("%d ns is in slot %d, whose longest is %d", ns, s, high)
		}
		if s > 0 && uint64(longest(s-1)) >= ns {
			t.Errorf("%d ns is in slot %d, but slot %d reaches %d", ns, s, s-1, longest(s-1))
		}
	}
}

func TestQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var a, b, both Histogram
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		both.Add(d)
		if i%2 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	slices.Sort(all)
	a.Merge(&b)
	if a != both {
		t.Error("two halves merged differ from the whole")
	}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		exact := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
		if got := both.Quantile(q); got < exact || float64(got) > float64(exact)*1.02+1 {
			t.Errorf("Quantile(%v) = %v, want %v", q, got, exact)
		}
	}
	if both.Max() != all[len(all)-1] {
		t.Errorf("Max = %v, want %v", both.Max(), all[len(all)-1])
	}
	var negative Histogram
	negative.Add(-time.Second)
	if negative.Quantile(1) != 0 || negative.Count() != 1 {
		t.Errorf("a negative duration: %v", negative.Quantile(1))
	}
}
