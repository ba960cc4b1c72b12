//go:build !linux

package link

import (
	"syscall"
	"time"
)

// unanswered: only Linux is asked. Keep-alive probes end the connection while nothing
// is under way.
func unanswered(syscall.RawConn) (asked int, silent time.Duration) { return 0, 0 }
