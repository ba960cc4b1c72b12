package main

import (
	"fmt"
	"time"
)

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
