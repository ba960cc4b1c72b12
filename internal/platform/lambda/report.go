package lambda

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"
)

// report is what the service's report line says of a session.
type report struct {
	duration, billed, init time.Duration
	maxMemory              int64 // bytes
	errorType              string
}

// parseTail reads the last report line of a log tail in base64. It returns false
// if there is none that gives a billed duration.
func parseTail(encoded string) (report, bool) {
	tail, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return report{}, false
	}
	_, line, found := cutLast(string(tail), "REPORT RequestId: ")
	if !found {
		return report{}, false
	}
	line, _, _ = strings.Cut(line, "\n")
	var r report
	ok := false
	for field := range strings.SplitSeq(line, "\t") {
		name, value, _ := strings.Cut(field, ": ")
		switch name {
		case "Duration":
			r.duration = milliseconds(value)
		case "Billed Duration":
			r.billed = milliseconds(value)
			ok = r.billed > 0
		case "Init Duration":
			r.init = milliseconds(value)
		case "Max Memory Used":
			r.maxMemory = megabytes(value)
		case "Error Type":
			r.errorType = strings.TrimSpace(value)
		}
	}
	return r, ok
}

// cutLast is strings.Cut around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// milliseconds reads "12.34 ms"; anything else is zero.
func milliseconds(s string) time.Duration {
	v, err := strconv.ParseFloat(strings.TrimSuffix(s, " ms"), 64)
	if err != nil || !(v >= 0 && v <= 1e9) {
		return 0
	}
	return time.Duration(math.Round(v * float64(time.Millisecond)))
}

// megabytes reads "31 MB" as bytes; anything else is zero.
func megabytes(s string) int64 {
	v, err := strconv.ParseInt(strings.TrimSuffix(s, " MB"), 10, 32)
	if err != nil || v < 0 {
		return 0
	}
	return v << 20
}
