package store

import (
	"fmt"
	"testing"
)

// BenchmarkReplace frees a chunk and stores another in a store that is nearly
// full, without touching its bytes.
func BenchmarkReplace(b *testing.B) {
	for _, size := range []int64{1 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, 128<<20)
			record := make([]byte, 64)
			n := uint64(s.Capacity() * 9 / 10 / Cost(size, len(record)))
			create := func(v uint64) {
				c, err := s.Create(Key{Version: v}, size, record)
				if err != nil {
					b.Fatal(err)
				}
				if err := c.Commit(changes.Add(1)); err != nil {
					b.Fatal(err)
				}
			}
			v := uint64(0)
			for ; v < n; v++ {
				create(v)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Free(v - n)
				create(v)
				v++
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	s := open(b, 64<<20)
	const n = 30_000
	for v := range uint64(n) {
		if err := put(b, s, Key{Version: v}, 1<<10, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	v := uint64(0)
	for b.Loop() {
		v = (v + 7919) % n
		h, err := s.Open(Key{Version: v})
		if err != nil {
			b.Fatal(err)
		}
		h.Block(0)
		h.Close()
	}
}
