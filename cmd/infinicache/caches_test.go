package main

import (
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// caches are those that scripts have started, one each.
var caches registry

type registry struct {
	mu  sync.Mutex
	all map[*testscript.TestScript]*cache
}

func (r *registry) put(ts *testscript.TestScript, c *cache) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[*testscript.TestScript]*cache{}
	}
	r.all[ts] = c
}

// take returns the script's cache, once; nil if there is none.
func (r *registry) take(ts *testscript.TestScript) *cache {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.all[ts]
	delete(r.all, ts)
	return c
}
