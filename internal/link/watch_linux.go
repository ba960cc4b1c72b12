package link

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unanswered is how often in a row the system has sent something that asks for an
// acknowledgement, and how long nothing has come.
func unanswered(c syscall.RawConn) (asked int, silent time.Duration) {
	_ = c.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			asked = int(info.Retransmits) + int(info.Probes)
			silent = time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond
		}
	})
	return asked, silent
}
