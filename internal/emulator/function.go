package emulator

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

const (
	region  = "us-east-1"
	account = "000000000000"
	version = "$LATEST"
)

// function is one deployed function: a node. Emulator.mu guards it.
type function struct {
	node      int
	name      string
	instances []*instance // in order of birth
	born      uint64      // instances ever started
	removed   bool        // no longer deployed
	draw      *rand.Rand

	tokens   float64 // of the invocation rate
	refilled time.Time
}

func newFunction(cfg Config, node int) *function {
	return &function{
		node:   node,
		name:   cfg.Prefix + strconv.Itoa(node),
		draw:   rand.New(rand.NewPCG(cfg.Seed, uint64(node))),
		tokens: max(cfg.Rate, 1),
	}
}

func functionARN(name string) string {
	return "arn:aws:lambda:" + region + ":" + account + ":function:" + name
}

// acquire gives the caller an instance of fn in state running: an idle one, or a
// new one that has no process yet. The caller hands it to release.
func (e *Emulator) acquire(fn *function) (*instance, *fault) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if fn.removed { // since its name was looked up
		return nil, functionNotFound(fn.name)
	}
	if !fn.allow(e.cfg.Rate, now) {
		return nil, throttled(reasonRate)
	}
	var idle []*instance
	busy := 0
	for _, inst := range fn.instances {
		if inst.idle() {
			idle = append(idle, inst)
		} else {
			busy++
		}
	}
	if e.cfg.Concurrency > 0 && busy >= e.cfg.Concurrency {
		return nil, throttled(reasonConcurrency)
	}
	var inst *instance
	switch {
	case len(idle) == 0:
		inst = e.newInstance(fn, now)
		fn.instances = append(fn.instances, inst)
	case e.cfg.Reuse == Random:
		inst = idle[fn.draw.IntN(len(idle))]
	default:
		inst = slices.MaxFunc(idle, func(a, b *instance) int { return a.lastUsed.Compare(b.lastUsed) })
	}
	if inst.process == nil {
		inst.state = Starting
	} else {
		inst.state = Running
	}
	return inst, nil
}

// allow takes a token of the invocation rate.
func (fn *function) allow(rate float64, now time.Time) bool {
	if rate == 0 {
		return true
	}
	if !fn.refilled.IsZero() {
		fn.tokens = min(max(rate, 1), fn.tokens+rate*now.Sub(fn.refilled).Seconds())
	}
	fn.refilled = now
	if fn.tokens < 1 {
		return false
	}
	fn.tokens--
	return true
}

// life draws how long an instance may live: the earlier of the rules' total age
// and an exponential sample. Zero means for ever.
func life(cfg Config, node int, ordinal uint64) time.Duration {
	d := cfg.Reclaim.TotalAge
	if mean := cfg.Reclaim.MeanLife; mean > 0 {
		r := rand.New(rand.NewPCG(cfg.Seed, instanceStream(node, ordinal)))
		sample := time.Duration(math.Min(r.ExpFloat64()*float64(mean), math.MaxInt64/2))
		if d == 0 || sample < d {
			d = max(sample, 1)
		}
	}
	return d
}

// instanceStream numbers a random stream of one instance's own, apart from those
// of functions.
func instanceStream(node int, ordinal uint64) uint64 {
	return 1<<63 | uint64(node)<<32 | ordinal&math.MaxUint32
}
