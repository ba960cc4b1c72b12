package proxy

import (
	"sync"

	"github.com/infinicache/infinicache/internal/catalog"
)

// answer is what a node said of a chunk of an upload.
type answer struct {
	stripe *uploadStripe
	chunk  int
	try    int
	at     catalog.Place
	err    error
}

// inbox holds the answers that an upload has not taken in yet. They come from the
// links' goroutines, and also from within the very call that asks a node, while
// the upload's mutex is held; so they are left here, and whoever holds the mutex
// takes them in before it lets go.
type inbox struct {
	mu    sync.Mutex
	queue []answer
}

func (b *inbox) put(a answer) {
	b.mu.Lock()
	b.queue = append(b.queue, a)
	b.mu.Unlock()
}

// take empties the inbox.
func (b *inbox) take() []answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queue
	b.queue = nil
	return q
}

func (b *inbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) == 0
}

// hear takes an answer, now or when the mutex is free. It never waits.
func (u *upload) hear(a answer) {
	u.inbox.put(a)
	if u.mu.TryLock() {
		u.unlock()
	}
}

// unlock takes in what was heard meanwhile and lets the mutex go. An answer that
// is put after the last look finds the mutex free, or is found by the next look.
func (u *upload) unlock() {
	for {
		for q := u.inbox.take(); len(q) > 0; q = u.inbox.take() {
			for _, a := range q {
				u.answered(a)
			}
		}
		u.mu.Unlock()
		if u.inbox.empty() || !u.mu.TryLock() {
			return
		}
	}
}
