package emulator

import "time"

// bucket counts calls against a rate, with a burst of one second's worth and of
// one call at least. Its zero value is full. Its owner guards it.
type bucket struct {
	tokens   float64
	refilled time.Time
}

// take tells whether a call is within rate, in calls per second, and counts it
// if it is.
func (b *bucket) take(rate float64, now time.Time) bool {
	burst := max(rate, 1)
	if b.refilled.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+rate*now.Sub(b.refilled).Seconds())
	}
	b.refilled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// throttle counts a management call against the account's rate: GetFunction has
// one of its own, and all others share one. The caller holds e.mu.
func (e *Emulator) throttle(operation string, now time.Time) *fault {
	b, rate := &e.controlCalls, e.cfg.Control.Rate
	if operation == "GetFunction" {
		b, rate = &e.getCalls, e.cfg.Control.GetFunctionRate
	}
	if e.cfg.Control.Unthrottled || b.take(rate, now) {
		return nil
	}
	return throttled(reasonCallerRate)
}
