package link

import (
	"net"
	"syscall"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// How a link is watched. The other side's system is asked for a sign of life while
// nothing is under way, and all that is under way asks for one too. It is given up
// after probes questions and muteFor without an answer: 4 to 5 s after its last.
const (
	probeAfter = 2 * time.Second
	probeEvery = time.Second
	probes     = 3
	muteFor    = 4 * time.Second
	watchEvery = time.Second
)

// socket is a TCP connection of the system.
type socket interface {
	syscall.Conn
	SetKeepAliveConfig(net.KeepAliveConfig) error
}

// keepAlive has the system below a connection probe the other side's, and gives what
// tells how that goes; nil if this is no TCP of this system.
func keepAlive(nc net.Conn) syscall.RawConn {
	s, ok := nc.(socket)
	for !ok {
		above, secured := nc.(interface{ NetConn() net.Conn })
		if !secured {
			return nil
		}
		nc = above.NetConn()
		s, ok = nc.(socket)
	}
	// A system that cannot has its own idea of how long to wait.
	_ = s.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probes})
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// watch closes the link when the other side's system is gone, until the link is over.
//
// Linux does not probe while bytes are unacknowledged, and would repeat those for a
// quarter of an hour. TCP_USER_TIMEOUT bounds that, but ends the connection to a peer
// that lives and does not read for so long as well. So the watch looks itself whether
// what was asked is answered.
func (c *Conn) watch(over <-chan struct{}) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		if asked, silent := unanswered(c.socket); asked >= probes && silent >= muteFor {
			c.Close(wire.Errorf(wire.CodeTimeout, "the other side's machine is gone: nothing acknowledged for %v", silent))
			return
		}
	}
}
