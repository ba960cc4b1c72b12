package simcache

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
)

// lazily is how long before a kill the first version of a key must have been
// acknowledged to be there afterwards, on a disk and a machine that others use.
const lazily = 2 * time.Second

// First versions are journalled behind their acknowledgement. With a disk that
// takes its time, a kill may cost those of the last moments, and no others.
func TestOnlyTheLastFirstVersionsAreLost(t *testing.T) {
	w := New(t, Config{Nodes: 6, JournalDir: filepath.Join(t.TempDir(), "journal"), Linger: 2 * time.Second})
	acked := make([]map[string]time.Time, 4)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for i := range acked {
		acked[i] = map[string]time.Time{}
		c := w.Client()
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("%d.%d", i, n)
				if _, err := c.PutBytes(ctx, key, []byte(key)); err == nil {
					acked[i][key] = time.Now()
				}
			}
		})
	}
	time.Sleep(700 * time.Millisecond)
	killed := time.Now()
	w.Kill()
	stop()
	writers.Wait()
	w.Restart()
	c := w.Client()
	all, lost, oldest := 0, 0, time.Duration(0)
	for _, some := range acked {
		for key, at := range some {
			all++
			got, err := c.GetBytes(t.Context(), key)
			switch {
			case err == nil && string(got) != key:
				t.Errorf("get %s: %q", key, got)
			case err != nil:
				lost++
				oldest = max(oldest, killed.Sub(at))
			}
		}
	}
	t.Logf("%d of %d acknowledged objects were lost, the oldest %v before the kill", lost, all, oldest.Round(100*time.Microsecond))
	if oldest > lazily || all == 0 {
		t.Errorf("%d of %d objects were lost, the oldest %v after it was acknowledged", lost, all, oldest)
	}
}

// BenchmarkRestartToFirstHit is the time from the start of a proxy to its first
// hit, with 10,000 objects, the journal in a real file and nodes that take 5 ms to
// wake.
func BenchmarkRestartToFirstHit(b *testing.B) {
	const objects = 10_000
	w := New(b, Config{Nodes: 20, JournalDir: filepath.Join(b.TempDir(), "journal")})
	var writers sync.WaitGroup
	for i := range 8 {
		c := w.Client()
		writers.Go(func() {
			for n := i; n < objects; n += 8 {
				if _, err := c.PutBytes(b.Context(), fmt.Sprint(n), make([]byte, 1000)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	time.Sleep(3 * time.Second) // the nodes sleep
	var starts, hits time.Duration
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		w.Kill()
		c := w.Client()
		b.StartTimer()
		began := time.Now()
		w.Restart()
		starts += time.Since(began)
		if _, err := c.GetBytes(b.Context(), fmt.Sprint(n*7919%objects)); err != nil && infinicache.MissCause(err) == "" {
			b.Fatal(err)
		}
		hits += time.Since(began)
		b.StopTimer()
		time.Sleep(2 * time.Second)
		b.StartTimer()
	}
	b.ReportMetric(float64(starts.Milliseconds())/float64(b.N), "start-ms/op")
	b.ReportMetric(float64(hits.Milliseconds())/float64(b.N), "first-hit-ms/op")
}
