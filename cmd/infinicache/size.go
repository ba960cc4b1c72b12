package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units of bytes, by what people write.
var units = map[string]int64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}

// parseSize reads bytes as in 4096, 256MiB, 1.5G or 10MB.
func parseSize(s string) (int64, bool) {
	digits := strings.TrimRight(s, "BKMGTbkmgti ")
	unit, ok := units[strings.ToUpper(strings.TrimSpace(s[len(digits):]))]
	if !ok || strings.ContainsAny(digits, "eExXpP_+-") {
		return 0, false
	}
	x, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(x*float64(unit) < math.MaxInt64) {
		return 0, false
	}
	return int64(x * float64(unit)), true
}

// formatSize writes bytes so that parseSize reads them back exactly.
func formatSize(n int64) string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// shortSize writes bytes in at most about 9 columns: "1.5 MiB".
func shortSize(n int64) string {
	x := float64(n)
	for _, name := range []string{"B", "KiB", "MiB", "GiB"} {
		if x < 1024 {
			if name == "B" {
				return fmt.Sprintf("%.0f B", x)
			}
			return fmt.Sprintf("%.1f %s", x, name)
		}
		x /= 1024
	}
	return fmt.Sprintf("%.1f TiB", x)
}

// shortTime writes seconds with three digits.
func shortTime(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d <= 0:
		return "0"
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", seconds*1e6)
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", seconds*1e3)
	case d < time.Minute:
		return fmt.Sprintf("%.3g s", seconds)
	default:
		return d.Round(time.Second).String()
	}
}

// percent writes a share.
func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
