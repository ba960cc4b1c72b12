package main

import "testing"

func TestShortForms(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 20 << 20: "20.0 MiB", 5 << 40: "5.0 TiB"} {
		if got := shortSize(n); got != want {
			t.Errorf("shortSize(%d) = %q, want %q", n, got, want)
		}
	}
	for seconds, want := range map[float64]string{0: "0", 0.0000005: "0.5 µs", 0.00463: "4.63 ms", 1.5: "1.5 s", 67: "1m7s"} {
		if got := shortTime(seconds); got != want {
			t.Errorf("shortTime(%v) = %q, want %q", seconds, got, want)
		}
	}
}
