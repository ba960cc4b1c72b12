package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"testing"
)

// resident is the memory of this process in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc/self/statm")
	}
	var total, pages int64
	if _, err := fmt.Sscan(string(text), &total, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// Resident memory follows what is stored, small chunks and large ones alike.
func TestResident(t *testing.T) {
	const stored, record = 48 << 20, 64
	for _, size := range []int{1 << 10, 100_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			before := resident(t)
			s := open(t, 64<<20)
			expect := func(when string, bytes int64) {
				t.Helper()
				got := resident(t) - before
				// 3 MiB: half-empty slabs, tables, what the runtime keeps.
				if limit := bytes + bytes/10 + 3<<20; got > limit {
					t.Errorf("%s: %d bytes resident for %d stored, want at most %d", when, got, bytes, limit)
				}
				t.Logf("%s: %d bytes stored, %.3f times resident", when, bytes, float64(got)/float64(max(bytes, 1)))
			}
			n := stored / (size + record)
			for v := range n {
				c, err := s.Create(Key{Version: uint64(v)}, int64(size), make([]byte, record))
				if err != nil {
					t.Fatal(err)
				}
				for i := range c.Blocks() {
					for _, piece := range c.Block(i) {
						for at := 0; at < len(piece); at += 64 {
							piece[at] = 1
						}
					}
				}
				if err := c.Commit(changes.Add(1)); err != nil {
					t.Fatal(err)
				}
			}
			expect("full", stored)
			keep := n / 10
			for _, v := range rand.New(rand.NewPCG(5, 6)).Perm(n)[keep:] {
				s.Free(uint64(v))
			}
			if err := s.Trim(); err != nil {
				t.Fatal(err)
			}
			expect("thinned", int64(keep*(size+record)))
			for v := range n {
				s.Free(uint64(v))
			}
			if err := s.Trim(); err != nil {
				t.Fatal(err)
			}
			if s.Used() != 0 {
				t.Errorf("Used() = %d, want 0", s.Used())
			}
			expect("empty", 0)
		})
	}
}
