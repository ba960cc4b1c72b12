package proxy_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/simcache"
	"github.com/infinicache/infinicache/internal/wire"
)

// A shutdown amid transfers ends, in bounded time, and leaves no goroutine.
func TestShutdownAmidTransfers(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := simcache.New(t, simcache.Config{Nodes: 12, Seed: uint64(i)})
				first := w.Client()
				mustPut(t, first, "k", content(1, 20<<20))
				var all sync.WaitGroup
				for k := range 4 {
					c := w.Client()
					all.Go(func() { _, _ = c.PutBytes(t.Context(), fmt.Sprint("p", k), content(2, 20<<20)) })
					all.Go(func() { _, _ = c.GetBytes(t.Context(), "k") })
					all.Go(func() {
						for range 5 { // more dial while it goes down
							time.Sleep(time.Duration(i) * 200 * time.Microsecond)
							late := w.Client()
							_, _ = late.Stat(t.Context(), "k")
							late.Close()
						}
					})
				}
				idle := dial(t, w, "idle")
				idle.open(1, "k") // and never closes it
				all.Go(func() {
					if f := idle.next(); f.Type != wire.TypeDone || f.Stream != 0 || f.Code != wire.CodeClosed {
						t.Errorf("last word %v %v on stream %d", f.Type, f.Code, f.Stream)
					}
				})
				silent, err := w.Net.Dial(t.Context(), "silent", simcache.ClientAddr)
				if err != nil {
					t.Fatal(err)
				}
				defer silent.Close()
				time.Sleep(time.Duration(i) * 700 * time.Microsecond)
				began := time.Now()
				w.Stop()
				// The grace, a second in which nodes dial in vain, and their return.
				if d := time.Since(began); d > 7*time.Second {
					t.Errorf("the shutdown took %v, the grace is 5 s", d)
				}
				first.Close()
				all.Wait()
			})
		})
	}
}

// What begins while the proxy goes down is refused for that reason, and worth another
// try.
func TestRequestsWhileTheProxyGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := simcache.New(t, simcache.Config{Nodes: 12})
		mustPut(t, w.Client(), "k", content(1, 1<<20))
		c := dial(t, w, "client")
		c.put(1, "p", 1<<20) // is under way for as long as it may
		stopped := make(chan struct{})
		go func() {
			w.Stop()
			close(stopped)
		}()
		time.Sleep(time.Second)
		c.send(wire.TypeOpen, 2, &wire.Open{Key: "k"})
		c.send(wire.TypePut, 3, &wire.Put{Key: "q", Size: 1 << 20})
		for range 2 {
			var d wire.Done
			if f := c.want(wire.TypeDone, &d); f.Code != wire.CodeBusy || d.Detail != "the proxy goes down" {
				t.Errorf("stream %d: %v, %q", f.Stream, f.Code, d.Detail)
			}
		}
		<-stopped
	})
}
