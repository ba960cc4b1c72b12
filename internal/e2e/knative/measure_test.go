//go:build e2e

package knative

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// run is something that is done over and over, each time with ten MiB of values.
type run struct {
	name, op string
	do       func(ctx context.Context) error
}

const (
	rounds = 7
	turn   = 800 * time.Millisecond // of a run in each round
)

// compare has the runs take turns, since the machine's speed changes with what else it
// does. It tells the median speed of each, in MiB a second, and how many times that of
// the first run of the same operation it is: the median of the rounds' ratios.
func compare(t *testing.T, runs []run) {
	t.Helper()
	first := map[string]int{} // run of an operation
	for i, r := range slices.Backward(runs) {
		first[r.op] = i
	}
	speeds, ratios := make([][]float64, len(runs)), make([][]float64, len(runs))
	for round := range rounds {
		for i, r := range runs {
			speeds[i] = append(speeds[i], r.speed(t))
			ratios[i] = append(ratios[i], speeds[i][round]/speeds[first[r.op]][round])
		}
	}
	for i, r := range runs {
		slices.Sort(speeds[i])
		slices.Sort(ratios[i])
		report(t, fmt.Sprintf("%s of 10 MiB, %s", r.op, r.name), "%4.0f MiB/s (%.0f to %.0f), %.2f times %s",
			speeds[i][rounds/2], speeds[i][0], speeds[i][rounds-1], ratios[i][rounds/2], runs[first[r.op]].name)
	}
}

// speed is that of a turn, in MiB a second.
func (r run) speed(t *testing.T) float64 {
	t.Helper()
	do := func() {
		if err := r.do(t.Context()); err != nil {
			t.Fatalf("%s, %s: %v", r.name, r.op, err)
		}
	}
	do() // wakes what sleeps
	began, done := time.Now(), 0
	for ; time.Since(began) < turn; done++ {
		do()
	}
	return float64(done*tenMiB>>20) / time.Since(began).Seconds()
}

// spread tells the median of times, and their range.
func spread(times []time.Duration) string {
	slices.Sort(times)
	short := func(d time.Duration) time.Duration {
		if d > 100*time.Millisecond {
			return d.Round(10 * time.Millisecond)
		}
		return d.Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%v (%v to %v)", short(median(times)), short(times[0]), short(times[len(times)-1]))
}

// median of times, which it sorts.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// times is how many times as long as others some took, by their medians.
func times(some, others []time.Duration) float64 {
	return float64(median(some)) / float64(median(others))
}
