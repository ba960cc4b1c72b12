//go:build unix && !linux

package store

import "golang.org/x/sys/unix"

// smallPages: only Linux backs ordinary memory with huge pages.
func smallPages([]byte) {}

// discard leaves whole pages to the system, which takes them when it needs them.
func discard(mem []byte) error { return unix.Madvise(mem, unix.MADV_FREE) }
