package emulator

import "time"

// watch looks at a process's resident memory while it is awake. A limit on its
// address space would break Go programs, which reserve far more than they use.
type watch struct {
	limit int64
	tick  *time.Ticker
}

func newWatch(limit int64) *watch {
	return &watch{limit: limit, tick: time.NewTicker(memoryInterval)}
}

// sample returns the process's resident memory in bytes and keeps the peak.
func (w *watch) sample(p *process) int64 {
	rss := residentMemory(p.pid)
	p.peak = max(p.peak, rss)
	return rss
}

func (w *watch) stop() { w.tick.Stop() }
