package spend

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func TestBucket(t *testing.T) {
	type take struct {
		at    time.Duration
		n     int64
		again time.Duration // 0 where it is let through
	}
	for _, c := range []struct {
		name        string
		rate, burst float64
		takes       []take
	}{
		{"starts full", 10, 3, []take{{0, 3, 0}, {0, 1, 100 * ms}}},
		{"one second's worth by default", 10, 0, []take{{0, 10, 0}, {0, 1, 100 * ms}}},
		{"one token at least by default", 0.5, 0, []take{{0, 1, 0}, {0, 1, 2 * time.Second}}},
		{"exact refill", 10, 1, []take{{0, 1, 0}, {100*ms - 1, 1, 1}, {100 * ms, 1, 0}, {100 * ms, 1, 100 * ms}}},
		{"refill between nanoseconds", 3, 1, []take{{0, 1, 0}, {0, 1, 333333334}, {333333333, 1, 1}, {333333334, 1, 0}}},
		{"refused takes take nothing", 1, 2, []take{{0, 1, 0}, {0, 2, time.Second}, {0, 2, time.Second}, {0, 1, 0}}},
		{"fills no further than the burst", 10, 3, []take{{0, 3, 0}, {time.Hour, 3, 0}, {time.Hour, 1, 100 * ms}}},
		{"time stands still", 10, 2, []take{{5, 1, 0}, {5, 1, 0}, {5, 1, 100 * ms}, {5, 1, 100 * ms}}},
		{"time falls", 10, 1, []take{{time.Second, 1, 0}, {0, 1, 100 * ms}, {time.Second + 100*ms, 1, 0}}},
		{"time before its origin", 10, 1, []take{{-time.Hour, 1, 0}, {0, 1, 100 * ms}}},
		{"time jumps hours", 1.0 / 1024, 4, []take{{0, 4, 0}, {time.Hour, 4, 496 * time.Second}, {time.Hour, 3, 0}}},
		{"zero rate", 0, 0, []take{{0, math.MaxInt64, 0}, {0, math.MaxInt64, 0}}},
		{"zero rate with a burst", 0, 1, []take{{0, 5, 0}}},
		{"negative rate", -1, 1, []take{{0, 5, 0}}},
		{"not a number", math.NaN(), 1, []take{{0, 5, 0}}},
		{"rate without end", math.Inf(1), 1, []take{{0, 5, 0}}},
		{"burst without end", 1, math.Inf(1), []take{{0, math.MaxInt64, 0}, {0, math.MaxInt64, 0}}},
		{"more than the burst", 10, 3, []take{{0, 4, Never}, {time.Hour, 4, Never}, {time.Hour, 3, 0}}},
		{"nothing, and less", 10, 1, []take{{0, 1, 0}, {0, 0, 0}, {0, -5, 0}, {0, 1, 100 * ms}}},
		{"a slow leak", 1e-12, 1, []take{{0, 1, 0}, {0, 1, Never}}},
		{"large", 1e15, 1e15, []take{{0, 1e15, 0}, {0, 1, 1}, {1, 1e6, 0}, {math.MaxInt64, 1e15, 0}, {math.MaxInt64, 1, Never}}},
		{"huge", 1e18, 1e18, []take{{0, 1e18, 0}, {0, 1e18, time.Second}, {time.Second, 1e18, 0}}},
		{"greatest", math.MaxFloat64, 0, []take{{0, math.MaxInt64, 0}, {math.MaxInt64, math.MaxInt64, 0}}},
		{"end of time", 1, 1, []take{{math.MaxInt64 - 10, 1, 0}, {math.MaxInt64, 1, Never}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := NewBucket(c.rate, c.burst)
			for i, x := range c.takes {
				wait := b.Wait(x.at, x.n)
				ok, again := b.Take(x.at, x.n)
				if ok != (x.again == 0) || again != x.again || wait != again {
					t.Errorf("%d: Take(%v, %d) = %v, %v after Wait = %v, want %v", i, x.at, x.n, ok, again, wait, x.again)
				}
			}
		})
	}
}

func TestZeroBucketIsNoLimit(t *testing.T) {
	var b Bucket
	for range 3 {
		if ok, again := b.Take(0, math.MaxInt64); !ok || again != 0 {
			t.Errorf("Take = %v, %v", ok, again)
		}
	}
}

// TestBucketAskedOften: a look may not round away what came since the last.
func TestBucketAskedOften(t *testing.T) {
	b := NewBucket(1e-6, 1e6)
	b.Take(0, 1e6)
	const million = 1_000_000 * time.Second
	for at := range time.Duration(100_000) {
		b.Take(at, 1)
	}
	if ok, again := b.Take(million, 1); !ok {
		t.Errorf("no token after its time, but in %v", again)
	}
}

func TestBucketProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(1e-3, 1e10).Draw(t, "rate")
		burst := rapid.Float64Range(1, 1e10).Draw(t, "burst")
		b := NewBucket(rate, burst)
		type entry struct {
			at time.Duration
			n  float64
		}
		var let []entry
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			now += rapid.OneOf(
				rapid.Just(time.Duration(0)),
				rapid.Custom(func(t *rapid.T) time.Duration {
					return time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "ns"))
				}),
				rapid.Custom(func(t *rapid.T) time.Duration {
					return time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "jump"))
				}),
			).Draw(t, "step")
			n := rapid.Int64Range(0, int64(burst)+1).Draw(t, "n")
			ok, again := b.Take(now, n)
			switch {
			case ok:
				let = append(let, entry{now, float64(n)})
			case again == Never:
				if float64(n) <= burst && float64(n)/rate < 1e9 { // else it takes centuries
					t.Fatalf("Take(%v, %d) never works, burst %v", now, n, burst)
				}
			case b.Wait(now+again, n) != 0:
				t.Fatalf("Take(%v, %d) refused for %v, and then for %v", now, n, again, b.Wait(now+again, n))
			case again > time.Microsecond && b.Wait(now+again*99/100, n) == 0:
				t.Fatalf("Take(%v, %d) refused for %v, works before", now, n, again)
			}
		}
		for i := range let {
			sum := 0.0
			for _, x := range let[i:] {
				sum += x.n
				most := burst + rate*(x.at-let[i].at).Seconds()
				if sum > most+1e-9*burst*float64(len(let)) && sum > most*(1+1e-12) {
					t.Fatalf("%v tokens let through in %v, rate %v, burst %v", sum, x.at-let[i].at, rate, burst)
				}
			}
		}
	})
}
