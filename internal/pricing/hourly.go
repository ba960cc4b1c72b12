package pricing

import (
	"math"
	"time"
)

// Workload is what a pool does, in the terms of the paper's cost model.
type Workload struct {
	Nodes  int
	Memory int64 // of a function, in bytes
	// Requests come so many times an hour, each to Chunks nodes, in each of
	// which a session of ChunkTime serves it.
	Requests  float64
	Chunks    int
	ChunkTime time.Duration
	// Every node is woken for WarmTime each WarmEvery; never if that is zero.
	WarmEvery, WarmTime time.Duration
	// Every node is backed up for BackupTime each BackupEvery; never if that is
	// zero.
	BackupEvery, BackupTime time.Duration
}

// Hourly is what a pool costs in an hour, by cause.
type Hourly struct{ Serving, WarmUp, Backup float64 }

// Total is the sum of all causes.
func (h Hourly) Total() float64 { return h.Serving + h.WarmUp + h.Backup }

// Hourly is the cost model of the paper's section 4.3:
//
//	serving = requests x chunks x (per invocation + billed(chunk time) x rate)
//	warm-up = nodes x hour/T_warm x (per invocation + billed(warm time) x rate)
//	backup  = nodes x hour/T_bak x (per invocation + billed(backup time) x rate)
//
// It takes each request to wake its nodes, which is the most that serving costs.
func (p Plan) Hourly(w Workload) Hourly {
	session := func(d time.Duration) float64 { return p.Cost(w.Memory, p.Billed(d, 0), 1) }
	perHour := func(every time.Duration) float64 {
		if every <= 0 {
			return 0
		}
		return float64(w.Nodes) * float64(time.Hour) / float64(every)
	}
	return Hourly{
		Serving: w.Requests * float64(w.Chunks) * session(w.ChunkTime),
		WarmUp:  perHour(w.WarmEvery) * session(w.WarmTime),
		Backup:  perHour(w.BackupEvery) * session(w.BackupTime),
	}
}

// BreakEvenRequests is how many requests an hour make the pool as dear as a cache
// rented for so much an hour; w.Requests does not matter. It is 0 if the pool is
// dearer without any, and infinite if requests cost nothing.
func (p Plan) BreakEvenRequests(w Workload, rent float64) float64 {
	w.Requests = 1
	h := p.Hourly(w)
	left := rent - h.WarmUp - h.Backup
	switch {
	case left <= 0:
		return 0
	case h.Serving == 0:
		return math.Inf(1)
	}
	return left / h.Serving
}
