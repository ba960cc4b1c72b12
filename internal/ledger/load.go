package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
)

// Load is what clients do, each for itself, over and over.
type Load struct {
	Clients int
	Keys    int           // of each client
	Sizes   []int         // drawn from, bytes
	Reads   float64       // share; of any client's keys
	Deletes float64       // share
	Burst   time.Duration // after so long a client rests
	Rest    time.Duration // for so long; 0 is never
}

// Run has clients of the cache, each made by connect, do it until ctx ends, and
// returns when they have stopped.
func (w Load) Run(ctx context.Context, l *Ledger, connect func() *infinicache.Client, name string) {
	var all sync.WaitGroup
	for k := range w.Clients {
		c := connect()
		all.Go(func() { w.one(ctx, l, c, fmt.Sprintf("%s-%d", name, k), rand.New(rand.NewPCG(7, uint64(k)))) })
	}
	all.Wait()
}

func (w Load) one(ctx context.Context, l *Ledger, c *infinicache.Client, name string, draw *rand.Rand) {
	for ctx.Err() == nil {
		began := time.Now()
		for ctx.Err() == nil && (w.Rest == 0 || time.Since(began) < w.Burst) {
			// A call may take its time and is not cut short: the last ones end
			// after ctx does.
			call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			own := fmt.Sprintf("%s/%d", name, draw.IntN(w.Keys))
			switch x := draw.Float64(); {
			case x < w.Reads:
				if key, ok := l.Any(draw); ok {
					l.Get(call, c, key)
				}
			case x < w.Reads+w.Deletes:
				l.Delete(call, c, own)
			default:
				l.Put(call, c, own, w.Sizes[draw.IntN(len(w.Sizes))])
			}
			cancel()
		}
		if w.Rest > 0 {
			select {
			case <-time.After(w.Rest):
			case <-ctx.Done():
			}
		}
	}
}

// Any is a key that somebody wrote; false if there is none yet.
func (l *Ledger) Any(draw *rand.Rand) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.keys) == 0 {
		return "", false
	}
	return l.keys[draw.IntN(len(l.keys))], true
}

// Fill stores objects of one size and returns their keys. All must be stored.
func (l *Ledger) Fill(t *testing.T, c *infinicache.Client, name string, count, size int) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for k := range count {
		key := fmt.Sprintf("%s/%d", name, k)
		if !l.Put(ctx, c, key, size) {
			t.Fatalf("object %d of %d was not stored: %v", k, count, l.FirstFailure)
		}
		keys = append(keys, key)
	}
	return keys
}
