//go:build unix && !linux

package emulator

import "net/netip"

// links returns nil: the system does not tell.
func links(int) []netip.AddrPort { return nil }
