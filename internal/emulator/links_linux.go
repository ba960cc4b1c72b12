package emulator

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// links returns the local addresses of a process's established TCP connections.
func links(pid int) []netip.AddrPort {
	proc := "/proc/" + strconv.Itoa(pid)
	sockets := make(map[string]struct{}) // by inode
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return nil
	}
	for _, fd := range fds {
		target, err := os.Readlink(proc + "/fd/" + fd.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && err == nil {
			sockets[strings.TrimSuffix(inode, "]")] = struct{}{}
		}
	}
	var all []netip.AddrPort
	for _, table := range []string{"/net/tcp", "/net/tcp6"} {
		f, err := os.Open(proc + table)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			// sl local rem st tx:rx tr:when retrnsmt uid timeout inode …
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != "01" { // established
				continue
			}
			if _, ok := sockets[fields[9]]; !ok {
				continue
			}
			if addr, ok := parseSocketAddr(fields[1]); ok {
				all = append(all, addr)
			}
		}
		f.Close()
	}
	return all
}

// parseSocketAddr reads the kernel's form: the address as 32-bit words in host
// byte order (little endian wherever Go runs Linux in earnest), a colon, and the
// port, all hexadecimal.
func parseSocketAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	b, err := hex.DecodeString(host)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok && err == nil
}
