package proxy

import "sync"

// tasks are goroutines that Run waits for. Unlike a WaitGroup it may be given
// more while it is waited for: those are refused. The zero value is ready.
type tasks struct {
	mu     sync.Mutex
	ending bool
	group  sync.WaitGroup
}

// Go runs f on a goroutine of its own; false if Wait has begun.
func (t *tasks) Go(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ending {
		return false
	}
	t.group.Go(f)
	return true
}

// Wait refuses what comes from now on and waits for the rest.
func (t *tasks) Wait() {
	t.mu.Lock()
	t.ending = true
	t.mu.Unlock()
	t.group.Wait()
}
