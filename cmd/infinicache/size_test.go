package main

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1B": 1, "1KiB": 1024, "1kib": 1024, "1k": 1024, "1KB": 1000, "256MiB": 256 << 20,
		"1.5G": 3 << 29, "10 MB": 10_000_000, "2TiB": 2 << 40,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("parseSize(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e3", "0x10", "1XB", "1MiBB", "1_000", "99999999TiB", "NaN", "Inf", "1.2.3"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("parseSize(%q) = %d, want a complaint", text, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for _, n := range []int64{0, 1, 1023, 1024, 1025, 128 << 20, 3 << 29, 1 << 40} {
		if got, ok := parseSize(formatSize(n)); !ok || got != n {
			t.Errorf("%d is written %q, which reads as %d", n, formatSize(n), got)
		}
	}
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
