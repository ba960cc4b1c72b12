package emulator

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	region  = "us-east-1"
	account = "000000000000"
	version = "$LATEST"
)

// function is one deployed function. Emulator.mu guards it.
type function struct {
	node      int // -1 if its name is not a node's
	name      string
	stream    uint64      // of what is random about it
	instances []*instance // in order of birth
	born      uint64      // instances ever started
	removed   bool        // no longer deployed
	draw      *rand.Rand
	invoked   bucket

	deployment
}

func newFunction(cfg Config, name string, d deployment) *function {
	node := nodeNumber(cfg.Prefix, name)
	stream := uint64(node)
	if node < 0 {
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))    // never fails
		stream = uint64(h.Sum32() >> 1) // instanceStream has room for 31 bits
	}
	return &function{
		node: node, name: name, stream: stream, deployment: d,
		draw: rand.New(rand.NewPCG(cfg.Seed, stream)),
	}
}

// nodeNumber tells which node a function's name stands for: prefix and a number
// below MaxNodes, written without leading zeros. Other names are no node's: -1.
func nodeNumber(prefix, name string) int {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return -1
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n >= MaxNodes || strconv.Itoa(n) != digits {
		return -1
	}
	return n
}

func functionARN(name string) string {
	return "arn:aws:lambda:" + region + ":" + account + ":function:" + name
}

// acquire gives the caller an instance of fn, and of the tenant, in state
// running: an idle one, or a new one that has no process yet. The caller hands it
// to release.
func (e *Emulator) acquire(fn *function, tenant string) (*instance, *fault) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(fn, now)
	if fn.removed { // since its name was looked up
		return nil, functionNotFound(fn.name + ":" + version)
	}
	if rate := fn.rate(e.cfg); rate > 0 && !fn.invoked.take(rate, now) {
		return nil, throttled(reasonRate)
	}
	var idle []*instance
	busy := 0
	for _, inst := range fn.instances {
		switch {
		case !inst.idle():
			busy++
		case inst.tenant == tenant:
			idle = append(idle, inst)
		}
	}
	if fn.reserved != nil && busy >= *fn.reserved {
		return nil, throttled(reasonConcurrency)
	}
	var inst *instance
	switch {
	case len(idle) == 0:
		inst = e.newInstance(fn, tenant, now)
		fn.instances = append(fn.instances, inst)
		e.addLogGroup(inst.def.logging.LogGroup)
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

// rate is how many invocations per second the function takes; 0 means no limit.
// A deployed function's reservation is of 10 a second each.
func (fn *function) rate(cfg Config) float64 {
	if cfg.Rate == 0 && fn.reserved != nil && !fn.def.code.builtin() {
		return 10 * float64(*fn.reserved)
	}
	return cfg.Rate
}

// life draws how long an instance may live: the earlier of the rules' total age
// and an exponential sample. Zero means for ever.
func life(cfg Config, stream, ordinal uint64) time.Duration {
	d := cfg.Reclaim.TotalAge
	if mean := cfg.Reclaim.MeanLife; mean > 0 {
		r := rand.New(rand.NewPCG(cfg.Seed, instanceStream(stream, ordinal)))
		sample := time.Duration(math.Min(r.ExpFloat64()*float64(mean), math.MaxInt64/2))
		if d == 0 || sample < d {
			d = max(sample, 1)
		}
	}
	return d
}

// instanceStream numbers a random stream of one instance's own, apart from those
// of functions.
func instanceStream(stream, ordinal uint64) uint64 {
	return 1<<63 | stream<<32 | ordinal&math.MaxUint32
}
