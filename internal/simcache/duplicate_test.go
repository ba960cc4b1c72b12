package simcache

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
)

// TestNobodyIsInvokedTwice: a node that is waking, saying goodbye, or slow to
// answer is not invoked beside its session, because that makes a second, empty
// instance, which takes over.
func TestNobodyIsInvokedTwice(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules string
		pause time.Duration // between rounds
	}{
		{"first connections of many at once", "", 0},
		{"requests that cross the sleep", "delay node/*->proxy 3ms jitter 5ms\ndelay proxy->node/* 3ms jitter 5ms", 500 * time.Millisecond},
		{"answers late by much", "delay node/*->proxy 90ms jitter 60ms\ndelay proxy->node/* 90ms jitter 60ms", 700 * time.Millisecond},
		{"wakes over slow links", "delay node/*->proxy 80ms jitter 80ms", 12 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const nodes = 12
				w := New(t, Config{Nodes: nodes, Seed: 8})
				if _, err := w.Net.Script(c.rules); err != nil {
					t.Fatal(err)
				}
				body := bytes.Repeat([]byte{5}, 3<<20)
				var clients []*infinicache.Client
				for range 4 {
					clients = append(clients, w.Client())
				}
				for round := range 12 {
					var all sync.WaitGroup
					for i, cl := range clients {
						all.Go(func() {
							key := fmt.Sprint("k", i)
							if round == 0 {
								if _, err := cl.PutBytes(t.Context(), key, body); err != nil {
									t.Errorf("put %s: %v", key, err)
								}
								return
							}
							if got, err := cl.GetBytes(t.Context(), key); err != nil || !bytes.Equal(got, body) {
								t.Errorf("round %d, get %s: %d bytes, %v", round, key, len(got), err)
							}
						})
					}
					all.Wait()
					time.Sleep(c.pause + time.Duration(round)*time.Millisecond)
				}
				if _, started := w.Platform.Invocations(); started > nodes {
					t.Errorf("%d instances of %d nodes were started", started, nodes)
				}
				if st := w.Proxy.Status(); st.InstancesLost != 0 {
					t.Errorf("%d instances were given up", st.InstancesLost)
				}
				w.NothingUnexplained()
			})
		})
	}
}
