package proxy

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// nowhere is a platform that runs nothing.
type nowhere struct{}

func (nowhere) Capabilities() platform.Capabilities {
	return platform.Capabilities{Name: "nowhere", Freezes: true, Memory: 256 << 20}
}

func (nowhere) Invoke(context.Context, int, []byte) (platform.Outcome, error) {
	return platform.Outcome{}, &platform.Error{Kind: platform.Unavailable}
}

// benchNodes is the size of the pools of benchmarks.
const benchNodes = 100

// benchObject is an object of one stripe in 10+2, with a key of 20 bytes.
func benchObject(version uint64, places []place.Place) wire.Record {
	for i := range places {
		node := (uint32(version) + uint32(i)) % benchNodes
		places[i] = place.Place{Node: node, Instance: node + 1}
	}
	return wire.Record{
		Key: fmt.Sprintf("%020d", version), Version: version, Size: 10 << 20,
		Data: 10, Parity: 2, Stripe: 10 << 20, Stored: time.Now().UnixMilli(),
	}
}

// benchJournal makes a journal of n objects.
func benchJournal(b *testing.B, dir string, n int) {
	b.Helper()
	j, _, err := journal.Open(dir, journal.Config{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	for node := range uint32(benchNodes) {
		if _, err := j.Holder(node+1, node, []wire.Instance{{byte(node)}}); err != nil {
			b.Fatal(err)
		}
	}
	places := make([]place.Place, 12)
	for v := uint64(1); v <= uint64(n); v++ {
		if _, err := j.Put(benchObject(v, places), places, 0); err != nil {
			b.Fatal(err)
		}
		if v%10_000 == 0 {
			if err := j.DropHolder(1 << 30)(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := j.DropHolder(1 << 30)(b.Context()); err != nil {
		b.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRestart is the time from the start of a proxy until it could serve what
// its journal names, and the memory that this takes.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint("objects=", n), func(b *testing.B) {
			dir := b.TempDir()
			benchJournal(b, dir, n)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				p, err := New(Config{
					Pool: pool.Config{
						Driver: nowhere{}, Nodes: benchNodes, Epoch: 1, Key: []byte("a key for benchmarks"),
						Address: "nowhere:1", Capacity: 1 << 30,
					},
					JournalDir: dir,
				})
				if err != nil || p.catalog.Len() != n {
					b.Fatal(err)
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				if err := p.journal.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "heap-B/object")
		})
	}
}

// BenchmarkCatalogWithoutJournal is the memory of the same objects in a catalog
// that keeps no journal.
func BenchmarkCatalogWithoutJournal(b *testing.B) {
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		c, err := catalog.New(catalog.Config{Epoch: 1})
		if err != nil {
			b.Fatal(err)
		}
		places := make([]place.Place, 12)
		for v := uint64(1); v <= n; v++ {
			if err := c.Restore(benchObject(v, places), places); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(c)
		b.StartTimer()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heap-B/object")
}
