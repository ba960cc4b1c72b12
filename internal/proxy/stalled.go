package proxy

import (
	"sync/atomic"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// stallPatience is how long a client may take none of the blocks that wait
	// for it while others wait for the budget that these hold.
	stallPatience = 3 * time.Second
	// stallWatch is how often that is looked at.
	stallWatch = time.Second
)

// progress tells since when something has waited to leave, and none has.
type progress struct {
	waiting atomic.Int64
	moved   atomic.Int64 // Unix nanoseconds of the last that left, or of the first to wait
}

func (p *progress) begin() {
	if p.waiting.Add(1) == 1 {
		p.moved.Store(time.Now().UnixNano())
	}
}

func (p *progress) end() {
	p.moved.Store(time.Now().UnixNano())
	p.waiting.Add(-1)
}

// stalled tells whether nothing has left for d though something waits.
func (p *progress) stalled(now time.Time, d time.Duration) bool {
	return p.waiting.Load() > 0 && now.Sub(time.Unix(0, p.moved.Load())) > d
}

// watchReaders closes the links of clients that do not read while others wait
// for the whole of the relay budget. One such client can only use up its share;
// several could use up the rest, until their links are given up anyway.
func (p *Proxy) watchReaders() {
	tick := time.NewTicker(stallWatch)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if p.relay.waiting.Load() > 0 {
				p.metrics.refused.Add(p.clients.closeStalled(now))
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// closeStalled closes the links of clients that do not read and counts them.
func (cs *clients) closeStalled(now time.Time) (n uint64) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.open {
		if c.queued.stalled(now, stallPatience) {
			c.conn.Close(wire.Errorf(wire.CodeBusy, "the client did not read for %v while others waited", stallPatience))
			n++
		}
	}
	return n
}
