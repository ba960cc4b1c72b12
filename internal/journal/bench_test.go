package journal

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/wire"
)

// benchObject is an object of one 10+2 stripe with a key of 20 bytes.
func benchObject(version uint64) (wire.Record, []place.Place) {
	r := wire.Record{
		Key: fmt.Sprintf("%020d", version), Version: version, Size: 10 << 20,
		Data: 10, Parity: 2, Stripe: 10 << 20, Stored: time.Now().UnixMilli(),
	}
	places := make([]place.Place, 12)
	for i := range places {
		places[i] = place.Place{Node: uint32(i), Instance: uint32(version)}
	}
	return r, places
}

// BenchmarkReplace is the time of a change that is waited for, by how many wait
// at once.
func BenchmarkReplace(b *testing.B) {
	for _, waiters := range []int{1, 64} {
		b.Run(fmt.Sprintf("waiters=%d", waiters), func(b *testing.B) {
			j, _ := open(b, b.TempDir())
			stop := running(b, j)
			var version atomic.Uint64
			version.Store(1)
			left := atomic.Int64{}
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range waiters {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						v := version.Add(1)
						r, places := benchObject(v)
						wait, err := j.Put(r, places, v-uint64(waiters)-1)
						if err != nil {
							b.Error(err)
							return
						}
						settle(b, wait)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			stop()
			s := j.Status()
			b.ReportMetric(float64(s.Ops)/b.Elapsed().Seconds(), "ops/s")
			b.ReportMetric(float64(s.Ops)/float64(s.Batches), "ops/sync")
		})
	}
}

// BenchmarkOpen is the time to open and read a journal of 100,000 objects, after
// each was replaced or moved about once.
func BenchmarkOpen(b *testing.B) {
	const n = 100_000
	dir := b.TempDir()
	j, _ := open(b, dir)
	stop := running(b, j)
	r := rand.New(rand.NewPCG(1, 1))
	began := time.Now()
	for v := uint64(1); v <= 2*n; v++ {
		rec, places := benchObject(v)
		replaced := uint64(0)
		if v > n {
			replaced = v - n
		}
		if _, err := j.Put(rec, places, replaced); err != nil {
			b.Fatal(err)
		}
		j.Move(1+r.Uint64N(v), r.IntN(12), places[0])
		if v%1000 == 0 {
			settle(b, j.DropHolder(1))
		}
	}
	settle(b, j.DropHolder(1))
	filled := time.Since(began)
	stop()
	size := j.Status().FileBytes
	_ = j.Close()
	for b.Loop() {
		j, s, err := Open(dir, Config{})
		if err != nil || s.Objects != n {
			b.Fatal(s, err)
		}
		if err := s.Each(func(wire.Record, []place.Place) bool { return true }); err != nil {
			b.Fatal(err)
		}
		_ = j.Close()
	}
	b.ReportMetric(float64(size)/n, "B/object")
	b.ReportMetric(4*n/filled.Seconds(), "fill-ops/s")
}
