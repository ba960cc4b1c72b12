package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
)

// load is what clients do, each for itself, over and over.
type load struct {
	clients int
	keys    int           // of each client
	sizes   []int         // drawn from, bytes
	reads   float64       // share; of any client's keys
	deletes float64       // share
	burst   time.Duration // after so long a client rests
	rest    time.Duration // for so long; 0 is never
}

// run has clients of the cache do it until ctx ends, and returns when they have
// stopped.
func (w load) run(ctx context.Context, t *testing.T, l *ledger, at *daemon, name string) {
	var all sync.WaitGroup
	for k := range w.clients {
		c := newClient(t, at)
		all.Go(func() { w.one(ctx, l, c, fmt.Sprintf("%s-%d", name, k), rand.New(rand.NewPCG(7, uint64(k)))) })
	}
	all.Wait()
}

func (w load) one(ctx context.Context, l *ledger, c *infinicache.Client, name string, draw *rand.Rand) {
	for ctx.Err() == nil {
		began := time.Now()
		for ctx.Err() == nil && (w.rest == 0 || time.Since(began) < w.burst) {
			// A call may take its time and is not cut short: the last ones end
			// after ctx does.
			call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			own := fmt.Sprintf("%s/%d", name, draw.IntN(w.keys))
			switch x := draw.Float64(); {
			case x < w.reads:
				if key, ok := l.any(draw); ok {
					l.get(call, c, key)
				}
			case x < w.reads+w.deletes:
				l.del(call, c, own)
			default:
				l.put(call, c, own, w.sizes[draw.IntN(len(w.sizes))])
			}
			cancel()
		}
		if w.rest > 0 {
			select {
			case <-time.After(w.rest):
			case <-ctx.Done():
			}
		}
	}
}

// any is a key that somebody wrote; false if there is none yet.
func (l *ledger) any(draw *rand.Rand) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.keys) == 0 {
		return "", false
	}
	return l.keys[draw.IntN(len(l.keys))], true
}

// fill stores objects of one size and returns their keys. All must be stored.
func (l *ledger) fill(t *testing.T, c *infinicache.Client, name string, count, size int) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for k := range count {
		key := fmt.Sprintf("%s/%d", name, k)
		if !l.put(ctx, c, key, size) {
			t.Fatalf("object %d of %d was not stored: %v", k, count, l.firstFailure)
		}
		keys = append(keys, key)
	}
	return keys
}
