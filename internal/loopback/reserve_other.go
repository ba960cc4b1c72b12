//go:build !linux

package loopback

import (
	"fmt"
	"net"
	"net/netip"
)

// reserve gives a port that was free a moment ago.
func reserve() (at netip.AddrPort, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return at, nil, fmt.Errorf("reserve a port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), func() {}, nil
}
