package lambda

import (
	"encoding/base64"
	"encoding/json"
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

// parseTail reads the last report line of a log tail in base64, in the text
// format or else in the JSON format of logs. It returns false if there is none
// that gives a billed duration.
func parseTail(encoded string) (r report, found bool) {
	tail, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return report{}, false
	}
	if _, line, found := cutLast(string(tail), "REPORT RequestId: "); found {
		line, _, _ = strings.Cut(line, "\n")
		return parseText(line)
	}
	for line := range strings.Lines(string(tail)) {
		if got, ok := parseJSON(line); ok {
			r, found = got, true
		}
	}
	return r, found
}

// parseText reads what follows the request's mark in a report line.
func parseText(line string) (report, bool) {
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

// parseJSON reads a line of the JSON format, if it is a report.
func parseJSON(line string) (report, bool) {
	if !strings.Contains(line, `"platform.report"`) {
		return report{}, false
	}
	var event struct {
		Type   string `json:"type"`
		Record struct {
			Metrics struct {
				Duration  float64 `json:"durationMs"`
				Billed    float64 `json:"billedDurationMs"`
				Init      float64 `json:"initDurationMs"`
				MaxMemory float64 `json:"maxMemoryUsedMB"`
			} `json:"metrics"`
			ErrorType string `json:"errorType"`
		} `json:"record"`
	}
	if json.Unmarshal([]byte(line), &event) != nil || event.Type != "platform.report" {
		return report{}, false
	}
	m := event.Record.Metrics
	r := report{duration: span(m.Duration), billed: span(m.Billed), init: span(m.Init), errorType: event.Record.ErrorType}
	if m.MaxMemory > 0 && m.MaxMemory <= math.MaxInt32 {
		r.maxMemory = int64(m.MaxMemory) << 20
	}
	return r, r.billed > 0
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
	if err != nil {
		return 0
	}
	return span(v)
}

// span is so many milliseconds; what no session can take is zero.
func span(ms float64) time.Duration {
	if !(ms >= 0 && ms <= 1e9) {
		return 0
	}
	return time.Duration(math.Round(ms * float64(time.Millisecond)))
}

// megabytes reads "31 MB" as bytes; anything else is zero.
func megabytes(s string) int64 {
	v, err := strconv.ParseInt(strings.TrimSuffix(s, " MB"), 10, 32)
	if err != nil || v < 0 {
		return 0
	}
	return v << 20
}
