package emulator

import (
	"bytes"
	"fmt"
	"time"
)

// maxTail is how much of a session's log its caller may have, in bytes.
const maxTail = 4 << 10

// report is the account of one session.
type report struct {
	id        string
	duration  time.Duration // without init
	init      time.Duration // zero unless an instance was started for it
	memory    int64         // limit, bytes
	peak      int64         // bytes
	status    string        // empty, "timeout" or "error"
	errorType string
}

// billed is duration and init together, rounded up to a millisecond.
func (r report) billed() time.Duration {
	d := r.duration + r.init
	return max((d + time.Millisecond - 1).Truncate(time.Millisecond), time.Millisecond)
}

// line is the platform's report line, as the real service writes it.
func (r report) line() string {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	s := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		r.id, ms(r.duration), r.billed().Milliseconds(), r.memory>>20, (r.peak+1<<20-1)>>20)
	if r.init > 0 {
		s += fmt.Sprintf("Init Duration: %.2f ms\t", ms(r.init))
	}
	switch r.status {
	case "timeout":
		s += "Status: timeout"
	case "error":
		s += "Status: error\tError Type: " + r.errorType
	}
	return s + "\n"
}

// tail is the end of the session's log: the platform's lines about the
// function's own.
func (r report) tail(function []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "START RequestId: %s Version: %s\n", r.id, version)
	b.Write(function)
	fmt.Fprintf(&b, "END RequestId: %s\n%s", r.id, r.line())
	return b.Bytes()[max(0, b.Len()-maxTail):]
}
