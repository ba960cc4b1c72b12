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

// A transaction of the journal takes all that is queued when it begins. So one that
// was begun before the first version of a key was acknowledged may end without it,
// and the next may not.
const lazily = 1

// First versions are journalled behind their acknowledgement. With a disk that
// takes its time, a kill may cost those of the last moments, and no others.
func TestOnlyTheLastFirstVersionsAreLost(t *testing.T) {
	w := New(t, Config{Nodes: 6, JournalDir: filepath.Join(t.TempDir(), "journal"), Linger: 2 * time.Second})
	transactions := func() uint64 { return w.Proxy.Status().Journal.Batches }
	enough := transactions() + 20
	const most = 500                      // of each writer: one transaction has room for those of all
	acked := make([]map[string]uint64, 4) // transactions that had ended then
	some, all := make(chan struct{}, 1), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	for i := range acked {
		acked[i] = map[string]uint64{}
		c := w.Client()
		writers.Go(func() {
			for n := 0; n < most && ctx.Err() == nil; n++ {
				key := fmt.Sprintf("%d.%d", i, n)
				if _, err := c.PutBytes(ctx, key, []byte(key)); err == nil {
					acked[i][key] = transactions()
				}
				select {
				case some <- struct{}{}:
				default:
				}
			}
		})
	}
	go func() { writers.Wait(); close(all) }()
	for over := false; !over && transactions() < enough; {
		select {
		case <-some:
		case <-all:
			over = true
		}
	}
	ended := transactions()
	w.Kill()
	stop()
	<-all
	w.Restart()
	c := w.Client()
	sum, lost, late := 0, 0, 0
	for _, keys := range acked {
		sum += len(keys)
		for key, then := range keys {
			got, err := c.GetBytes(t.Context(), key)
			switch {
			case infinicache.MissCause(err) == "never-stored":
				lost++
				if then+lazily < ended {
					late++
				}
			case err != nil || string(got) != key:
				t.Errorf("get %s: %q, %v", key, got, err)
			}
		}
	}
	t.Logf("%d of %d acknowledged objects were lost", lost, sum)
	if late > 0 || sum == 0 {
		t.Errorf("%d of %d objects were lost, %d of them more than %d transactions after they were acknowledged", lost, sum, late, lazily)
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
