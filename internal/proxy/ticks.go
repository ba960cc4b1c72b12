package proxy

import "sync"

// ticks counts towards a total and tells of it, one at a time.
type ticks struct {
	mu    sync.Mutex
	count int
	total int
	tell  func(done, total int)
}

func newTicks(tell func(done, total int)) *ticks { return &ticks{tell: tell} }

// expect says that so many more are to come.
func (t *ticks) expect(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += n
}

func (t *ticks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if t.tell != nil {
		t.tell(t.count, t.total)
	}
}
