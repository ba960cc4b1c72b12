package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// long has scenarios run as long as their numbers need, one at a time, and those
// that take minutes run at all; see `make scenarios`.
var long = flag.Bool("scenarios", false, "run every scenario at full length, and print what they measured")

// scenario begins a test over real processes. Short ones run beside others.
func scenario(t *testing.T) {
	t.Helper()
	if !*long {
		t.Parallel()
	}
}

// longOnly leaves a scenario out that takes minutes.
func longOnly(t *testing.T) {
	t.Helper()
	if !*long {
		t.Skip("takes minutes: make scenarios")
	}
}

// pick is short, or full where scenarios run at full length.
func pick[T any](short, full T) T {
	if *long {
		return full
	}
	return short
}

// measured is what the scenarios found.
var measured numbers

type numbers struct {
	mu   sync.Mutex
	rows []string
}

// report notes a number for the table, and logs it.
func report(t *testing.T, what, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Logf("%s: %s", what, text)
	measured.mu.Lock()
	defer measured.mu.Unlock()
	measured.rows = append(measured.rows, fmt.Sprintf("%s\t%s\t%s", t.Name(), what, text))
}

// print writes the table, if scenarios ran at full length.
func (n *numbers) print(w io.Writer) error {
	if !*long || len(n.rows) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSCENARIO\tWHAT\tMEASURED")
	for _, row := range n.rows {
		fmt.Fprintln(t, row)
	}
	return t.Flush()
}

// longEnough is more than a busy machine takes over what does come.
const longEnough = 2 * time.Minute

// await looks every few milliseconds whether something is so, and fails the test
// if it is not in time.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	end := time.After(longEnough)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not in %v: %s", longEnough, what)
		}
	}
}

// quantile is the least time that the share q of the times does not exceed. It
// sorts them.
func quantile(times []time.Duration, q float64) time.Duration {
	slices.Sort(times)
	return times[max(int(math.Ceil(q*float64(len(times)))), 1)-1]
}

// millis writes a time in milliseconds.
func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
