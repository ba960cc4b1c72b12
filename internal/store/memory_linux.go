package store

import "golang.org/x/sys/unix"

// smallPages keeps the kernel from backing mem with huge pages: it would fill
// them up behind our back and resident memory would not follow what is stored.
// Kernels without huge pages refuse; that is as good.
func smallPages(mem []byte) { _ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE) }

// discard drops whole pages; they read as zeros next.
func discard(mem []byte) error { return unix.Madvise(mem, unix.MADV_DONTNEED) }
