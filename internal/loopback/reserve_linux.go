package loopback

import (
	"fmt"
	"net/netip"
	"syscall"
)

// reserve binds a socket that does not listen. The system gives its port to nobody
// who asks for any, and to whoever asks for it by number and, as package net does,
// with SO_REUSEADDR.
func reserve() (at netip.AddrPort, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return at, nil, fmt.Errorf("reserve a port: %w", err)
	}
	host := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: host.As4()})
	}
	var name syscall.Sockaddr
	if err == nil {
		name, err = syscall.Getsockname(fd)
	}
	if err != nil {
		syscall.Close(fd)
		return at, nil, fmt.Errorf("reserve a port: %w", err)
	}
	port := uint16(name.(*syscall.SockaddrInet4).Port)
	return netip.AddrPortFrom(host, port), func() { syscall.Close(fd) }, nil
}
