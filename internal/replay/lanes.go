package replay

import (
	"sync"

	"github.com/infinicache/infinicache/internal/trace"
)

// lanes keeps the requests for one object in order: one is in flight, the others
// wait behind it. Its zero value is empty.
type lanes struct {
	mu      sync.Mutex
	waiting map[string][]trace.Request // has an entry for every object in flight
}

// enter puts a request in flight, or behind the one that is, and tells which.
func (l *lanes) enter(req trace.Request) (inFlight bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if queue, busy := l.waiting[req.Object]; busy {
		l.waiting[req.Object] = append(queue, req)
		return false
	}
	if l.waiting == nil {
		l.waiting = map[string][]trace.Request{}
	}
	l.waiting[req.Object] = nil
	return true
}

// leave ends the request in flight for an object and puts the next one in
// flight, if there is one.
func (l *lanes) leave(object string) (next trace.Request, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.waiting[object]
	if len(queue) == 0 {
		delete(l.waiting, object)
		return trace.Request{}, false
	}
	l.waiting[object] = queue[1:]
	return queue[0], true
}
