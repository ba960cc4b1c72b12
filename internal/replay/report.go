package replay

import (
	"time"

	"github.com/infinicache/infinicache/internal/latency"
	"github.com/infinicache/infinicache/internal/wire"
)

// Report is what a replay saw. Names of its JSON fields are kept from release to
// release; fields may be added.
type Report struct {
	Seconds  float64 `json:"seconds"`
	Requests uint64  `json:"requests"`
	Hits     uint64  `json:"hits"`
	HitRatio float64 `json:"hit_ratio"` // hits / requests; 0 without requests
	// Misses are by cause; causes that did not occur are left out.
	Misses map[string]uint64 `json:"misses"`
	// Losses are misses for what the nodes lost, or could not be asked for.
	Losses uint64 `json:"losses"`
	// Errors are GETs that were neither hit nor miss, FailedPuts PUTs that
	// stored nothing.
	Errors     uint64 `json:"errors"`
	FailedPuts uint64 `json:"failed_puts"`
	FirstError string `json:"first_error,omitempty"`

	Bytes       int64 `json:"bytes"`        // that GETs returned
	StoredBytes int64 `json:"stored_bytes"` // that PUTs stored
	// WrongBytes are those that differed from the object's, missing and surplus
	// ones included. They must be 0.
	WrongBytes int64  `json:"wrong_bytes"`
	FirstWrong string `json:"first_wrong,omitempty"`
	Verified   bool   `json:"verified"`

	Objects   int `json:"objects"`   // different ones asked for
	Reclaimed int `json:"reclaimed"` // instances taken away meanwhile

	HitLatency  Latency `json:"hit_latency"`
	MissLatency Latency `json:"miss_latency"` // until the miss is known
	PutLatency  Latency `json:"put_latency"`
}

// Latency is a distribution, in seconds; all zero if nothing was measured.
type Latency struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func summary(h *latency.Histogram) Latency {
	return Latency{
		Count: h.Count(), Mean: h.Mean().Seconds(),
		P50: h.Quantile(0.5).Seconds(), P90: h.Quantile(0.9).Seconds(), P99: h.Quantile(0.99).Seconds(),
		Max: h.Max().Seconds(),
	}
}

// tally is what a report is made from that it does not contain itself.
type tally struct {
	misses          [wire.Causes]uint64
	stored          map[string]int64 // size of what this replay stored last
	asked           map[string]struct{}
	hit, miss, fill latency.Histogram
}

func newTally() tally {
	return tally{stored: map[string]int64{}, asked: map[string]struct{}{}}
}

// storedSize is the size of what this replay stored last under a key.
func (r *replay) storedSize(key string) (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, ok := r.tally.stored[key]
	return size, ok
}

// book counts one request, and ends the replay if too many failed in a row.
func (r *replay) book(key string, size int64, got getting, put putting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep, t := &r.report, &r.tally
	rep.Requests++
	t.asked[key] = struct{}{}
	rep.Bytes += got.bytes
	rep.WrongBytes += got.wrong
	if got.what != nil && rep.FirstWrong == "" {
		rep.FirstWrong = got.what.Error()
	}
	r.failures++
	switch {
	case got.hit:
		rep.Hits++
		t.hit.Add(got.took)
		r.failures = 0
	case got.err != nil:
		rep.Errors++
		r.note(got.err)
	default:
		t.misses[got.cause]++
		if got.cause == wire.CauseLost || got.cause == wire.CauseUnheard {
			rep.Losses++
		}
		t.miss.Add(got.took)
	}
	switch {
	case put.err != nil:
		rep.FailedPuts++
		r.note(put.err)
	case put.took > 0:
		rep.StoredBytes += size
		t.stored[key] = size
		t.fill.Add(put.took)
		r.failures = 0
	}
	if r.failures >= giveUp {
		r.stop(ErrGone)
	}
}

func (r *replay) note(err error) {
	if r.report.FirstError == "" {
		r.report.FirstError = err.Error()
	}
}

// soFar is the report at this instant.
func (r *replay) soFar() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep, t := r.report, &r.tally
	rep.Seconds = time.Since(r.began).Seconds()
	rep.Verified = !r.cfg.Unverified
	rep.Objects = len(t.asked)
	rep.Misses = map[string]uint64{}
	for cause, n := range t.misses {
		if n > 0 {
			rep.Misses[wire.Cause(cause).String()] = n
		}
	}
	if rep.Requests > 0 {
		rep.HitRatio = float64(rep.Hits) / float64(rep.Requests)
	}
	rep.HitLatency, rep.MissLatency, rep.PutLatency = summary(&t.hit), summary(&t.miss), summary(&t.fill)
	return rep
}
