//go:build unix

package store

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve maps n bytes of zeroed memory outside the Go heap. Pages cost nothing
// until they are written.
func reserve(n int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes: %w", n, err)
	}
	smallPages(mem)
	return mem, nil
}

// unmap gives a reservation back. The slice must be the one that reserve gave.
func unmap(mem []byte) error {
	if mem == nil {
		return nil
	}
	return unix.Munmap(mem)
}

// giveBack returns the pages that lie wholly in mem, whose contents are lost, to
// the system.
func giveBack(mem []byte) error {
	page := uintptr(unix.Getpagesize())
	at := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	skip := -at & (page - 1)
	size := uintptr(len(mem))
	if size < skip+page {
		return nil
	}
	return discard(mem[skip : skip+(size-skip)&^(page-1)])
}

// words is a reservation seen as 32-bit words.
type words struct {
	mem []byte
	at  []uint32
}

func reserveWords(n int) (words, error) {
	mem, err := reserve(4 * n)
	if err != nil {
		return words{}, err
	}
	return words{mem: mem, at: unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(mem))), n)}, nil
}
