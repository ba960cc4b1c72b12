package simcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/wire"
)

// scenario is a way of life for a cache: who asks what of it, and what befalls it
// meanwhile. Zero fields take the defaults.
type scenario struct {
	name string

	nodes    int           // default 8 to 15, by the seed
	capacity int64         // of an instance, in bytes; default 64 MiB
	shape    object.Shape  // default by size and pool
	linger   time.Duration // default 500 ms
	warm     time.Duration // default never
	backup   time.Duration // default never
	proxy    func(*proxy.Config)
	pods     bool // see Config
	tls      bool

	encrypted, liars bool // see Config

	clients int // default 3
	ops     int // of each client; default 40
	keys    int // default 5
	size    func(*rand.Rand) int

	// rules are of simnet; drawn are forms of which so many are drawn, in which
	// every BYTES, DIAL, WRITE and TIME becomes a number.
	rules []string
	drawn int

	// harm strikes so many times, one of these each.
	harm    []harm
	strikes int
	life    time.Duration // over which operations and strikes are spread; default 40 s

	// settle is how long after its end nothing may be left of what was under way,
	// beyond 2 min. A damaged STORE can be open until its session has to end.
	settle time.Duration

	// hits is the least share of the gets of what may be there that get it.
	// Well below the least that any of thirty seeds of the scenario gave, because
	// a lost object that is popular counts many times; most give all.
	hits float64
	// failed is how many of a hundred puts may fail.
	failed int
}

func (s *scenario) keyCount() int { return cmp.Or(s.keys, 5) }

func (s *scenario) lifetime() time.Duration { return cmp.Or(s.life, 40*time.Second) }

// mixed sizes are of one chunk, of a few, and of many.
func mixed(rng *rand.Rand) int {
	if rng.IntN(2) == 0 {
		return 8 + rng.IntN(64<<10)
	}
	return 8 + rng.IntN(5<<20)
}

func small(rng *rand.Rand) int { return 8 + rng.IntN(32<<10) }

func medium(rng *rand.Rand) int { return 8 + rng.IntN(1<<20) }

// striped sizes are of several stripes.
func striped(rng *rand.Rand) int { return 12<<20 + rng.IntN(24<<20) }

// The forms of rules that scenarios draw from.
var (
	breaks = []string{
		"reset proxy->node/* after BYTES bytes", "reset node/*->proxy after BYTES bytes",
		"reset proxy->node/* write WRITE", "reset node/*->proxy write WRITE",
		"reset proxy->client/* after BYTES bytes", "reset client/*->proxy after BYTES bytes",
		"truncate node/*->proxy after BYTES bytes", "truncate proxy->node/* after BYTES bytes",
		"truncate client/*->proxy after BYTES bytes",
		"refuse node/*->proxy dial DIAL", "drop node/* at TIME", "drop client/1 at TIME", "drop proxy at TIME",
	}
	lateness = []string{
		"stall node/*->proxy after BYTES bytes for 2s", "stall proxy->node/* after BYTES bytes for 2s",
		"stall proxy->client/* after BYTES bytes for 1s",
		"delay node/*->proxy 2ms jitter 20ms", "delay proxy->node/* 3ms jitter 30ms", "delay proxy->client/* 1ms jitter 5ms",
		"rate node/*->proxy 30000000 bytes/s", "rate proxy->node/* 30000000 bytes/s",
	}
	damage = []string{
		"flip node/*->proxy byte BYTES", "flip proxy->node/* byte BYTES",
		"flip proxy->client/* byte BYTES", "flip client/*->proxy byte BYTES",
	}
	splits = []string{
		"partition proxy node/1* at TIME for 3s", "partition proxy node/* at TIME for 500ms",
		"partition proxy client/1 at TIME for 2s", "cut node/3* at TIME for 3s", "cut node/* at TIME for 1s",
	}
	freezes = []string{
		"freeze node/2* at TIME for 2s", "freeze node/* at TIME for 300ms", "freeze client/2 at TIME for 3s",
	}
)

// scenarios are gone through in turn, one for each seed. A feature that changes
// what can befall a cache gets a row.
var scenarios = []scenario{
	{name: "quiet", hits: 1},
	{name: "reclaims", harm: []harm{reclaim}, strikes: 8, hits: 0.5, failed: 15},
	{name: "freezes", harm: []harm{stop}, rules: freezes, drawn: 3, strikes: 8, linger: 5 * time.Second, hits: 0.9, failed: 10},
	{name: "broken links", rules: breaks, drawn: 8, hits: 0.8, failed: 30},
	{name: "late links", rules: lateness, drawn: 4, hits: 0.9, failed: 10},
	{name: "damaged bytes", rules: damage, drawn: 5, hits: 0.8, failed: 20, settle: longestSession},
	{name: "split network", rules: splits, drawn: 3, hits: 0.8, failed: 20},
	{name: "throttled", harm: []harm{throttle, slowStart}, strikes: 8, hits: 0.8, failed: 20},
	{name: "duplicates", harm: []harm{hide}, strikes: 8, hits: 0.9, failed: 10},
	{name: "outlived sessions", harm: []harm{outlive, breakOff}, strikes: 8, linger: 2 * time.Second, hits: 0.9, failed: 10},
	{name: "little room", capacity: 4 << 20, keys: 40, ops: 80, harm: []harm{reclaim}, strikes: 2, hits: 0.1, failed: 20},
	{name: "many keys", keys: 150, clients: 4, ops: 200, size: small, harm: []harm{reclaim, hide}, strikes: 3, hits: 0.8, failed: 5},
	{name: "many stripes", keys: 2, ops: 12, size: striped, harm: []harm{reclaim}, rules: breaks, drawn: 2, strikes: 2, hits: 0.2, failed: 40},
	{
		name: "storm", rules: slices.Concat(breaks, lateness, damage, splits, freezes), drawn: 6,
		harm: []harm{reclaim, hide, throttle, slowStart, stop, outlive, breakOff}, strikes: 8, hits: 0.6, failed: 30, settle: longestSession,
	},
	{name: "backups", warm: 10 * time.Second, backup: 3 * time.Second, harm: []harm{loseOne, loseOne, swap}, strikes: 16, hits: 0.85, failed: 5},
	{name: "notices", harm: []harm{giveNotice, giveNotice, noticeOne}, strikes: 10, hits: 0.9, failed: 5},
	{name: "resizes", harm: []harm{resizePool}, strikes: 8, hits: 0.9, failed: 5},
	{name: "deployments", harm: []harm{deploy}, strikes: 5, hits: 1, failed: 5},
	{name: "spending", proxy: thrifty(3), hits: 0.35, failed: 50},
	{name: "tls", tls: true, rules: breaks, drawn: 4, harm: []harm{reclaim, giveNotice}, strikes: 4, hits: 0.6, failed: 20},
	{
		name: "rollouts", pods: true, warm: 5 * time.Second, linger: 3 * time.Minute, proxy: held,
		harm: []harm{rollOut}, strikes: 6, life: 3 * time.Minute, hits: 0.95, failed: 2, settle: 70 * time.Minute, // until they are held no longer
	},
	{name: "pods", pods: true, tls: true, warm: 5 * time.Second, harm: []harm{giveNotice, giveNotice, reclaim}, strikes: 8, hits: 0.7, failed: 10},
	{
		name: "pods in a storm", pods: true, warm: 5 * time.Second, rules: slices.Concat(breaks, lateness, splits), drawn: 4,
		harm: []harm{giveNotice, reclaim, stop, breakOff, throttle, slowStart}, strikes: 8, hits: 0.5, failed: 30,
	},
	{name: "encrypted", encrypted: true, rules: slices.Concat(damage, breaks), drawn: 5, harm: []harm{reclaim}, strikes: 2, hits: 0.5, failed: 30, settle: longestSession},
	{name: "encrypted stripes", encrypted: true, keys: 2, ops: 12, size: striped, rules: damage, drawn: 3, hits: 0.3, failed: 40, settle: longestSession},
	{
		name: "liars", encrypted: true, liars: true, backup: 3 * time.Second, warm: 10 * time.Second,
		harm: []harm{lie, lie, lie, reclaim, giveNotice}, strikes: 8, hits: 0.3, failed: 10,
	},
	{
		name: "everything", warm: 10 * time.Second, backup: 3 * time.Second, proxy: thrifty(30),
		rules: slices.Concat(breaks, lateness, splits, freezes), drawn: 4,
		harm:    []harm{reclaim, hide, stop, breakOff, loseOne, swap, giveNotice, noticeOne, resizePool, deploy},
		strikes: 10, hits: 0.6, failed: 30,
	},
}

// sagas are scenarios that take longer: one seed in fifty goes through them.
var sagas = []scenario{
	{
		name: "hundreds of nodes", nodes: 300, clients: 12, ops: 40, keys: 60, size: medium, life: time.Minute,
		rules: slices.Concat(breaks, lateness), drawn: 6,
		harm: []harm{reclaim, hide, throttle, stop, outlive}, strikes: 60, hits: 0.8, failed: 10,
	},
	{
		name: "hours of life", nodes: 200, clients: 3, ops: 160, keys: 40, size: medium, life: 3 * time.Hour,
		harm: []harm{reclaim, hide, stop, outlive}, strikes: 200, hits: 0.8, failed: 10,
	},
}

// harm is one misfortune. It may take a while, and undoes what does not last.
type harm func(*Cache, *rand.Rand)

var (
	reclaim = harm(func(w *Cache, rng *rand.Rand) {
		for range 1 + rng.IntN(3) {
			w.Platform.Reclaim(anyNode(w, rng))
		}
	})
	hide = harm(func(w *Cache, rng *rand.Rand) {
		show := w.Platform.Hide(anyNode(w, rng))
		rest(rng, 5*time.Second)
		show()
	})
	throttle  = harm(func(w *Cache, rng *rand.Rand) { w.Platform.Throttle(1 + rng.IntN(5)) })
	slowStart = harm(func(w *Cache, rng *rand.Rand) {
		w.Platform.Slow(time.Duration(rng.Int64N(int64(4 * time.Second))))
		w.Platform.Reclaim(anyNode(w, rng))
		rest(rng, 5*time.Second)
		w.Platform.Slow(0)
	})
	stop = harm(func(w *Cache, rng *rand.Rand) {
		goOn := w.Platform.Stop(busyNode(w, rng))
		rest(rng, 8*time.Second)
		goOn()
	})
	breakOff = harm(func(w *Cache, rng *rand.Rand) { w.Platform.Break(busyNode(w, rng)) })
	lie      = harm(func(w *Cache, rng *rand.Rand) {
		repent := w.Platform.Lie(anyNode(w, rng))
		rest(rng, 5*time.Second)
		repent()
	})
	outlive = harm(func(w *Cache, rng *rand.Rand) {
		n := busyNode(w, rng)
		goOn := w.Platform.Stop(n)
		rest(rng, time.Second)
		w.Platform.Break(n)
		rest(rng, 2*time.Second) // before its own patience ends its session
		goOn()
	})
)

// These are for what a cache does on its own: it backs nodes up to second
// instances, drains those that are told of their end, and changes its size.
var (
	loseOne = harm(func(w *Cache, rng *rand.Rand) {
		n := pairedNode(w, rng)
		w.Platform.Take(n, rng.IntN(2))
	})
	swap = harm(func(w *Cache, rng *rand.Rand) {
		for range 3 {
			w.Platform.Swap(pairedNode(w, rng))
		}
	})
	rollOut = harm(func(w *Cache, rng *rand.Rand) {
		for range 1 + rng.IntN(4) {
			w.Platform.Outlive(anyNode(w, rng))
		}
	})
	giveNotice = harm(func(w *Cache, rng *rand.Rand) {
		w.Platform.Notice(anyNode(w, rng), timeLeft(rng))
		rest(rng, time.Second)
	})
	noticeOne = harm(func(w *Cache, rng *rand.Rand) {
		n := pairedNode(w, rng)
		if is := w.Platform.Instances(n); len(is) > 0 {
			w.Platform.NoticeOne(n, rng.IntN(len(is)), timeLeft(rng))
		}
	})
	resizePool = harm(func(w *Cache, rng *rand.Rand) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		nodes := 6 + rng.IntN(12)
		err := w.Proxy.Resize(ctx, nodes, nil)
		if err != nil && !errors.Is(err, wire.ErrUnavailable) && ctx.Err() == nil {
			w.t.Errorf("resize to %d nodes: %v", nodes, err)
		}
	})
)

// deploy replaces the instances of a few nodes, which are drained before.
var deploy = harm(func(w *Cache, rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	first, step := rng.IntN(4), 3+rng.IntN(3)
	var nodes []uint32
	for n := first; n < len(w.Proxy.Status().Nodes); n += step {
		nodes = append(nodes, uint32(n))
	}
	if err := w.Proxy.Drain(ctx, nodes, nil); err != nil {
		if !errors.Is(err, wire.ErrUnavailable) && ctx.Err() == nil {
			w.t.Errorf("drain of %v: %v", nodes, err)
		}
		return
	}
	for _, n := range nodes {
		w.Platform.Reclaim(int(n))
	}
	rest(rng, 3*time.Second)
	if err := w.Proxy.Admit(nodes); err != nil {
		w.t.Errorf("admission of %v: %v", nodes, err)
	}
})

// held has nodes that hold something be in session nearly always.
func held(c *proxy.Config) { c.Pool.Hold = true }

// thrifty limits a pool to so many sessions a second.
func thrifty(sessions float64) func(*proxy.Config) {
	return func(c *proxy.Config) { c.Pool.Limits = pool.Limits{InvocationsPerSecond: sessions} }
}

// timeLeft is what platforms tell of an end before it comes.
func timeLeft(rng *rand.Rand) time.Duration {
	return 300*time.Millisecond + time.Duration(rng.Int64N(int64(9700*time.Millisecond)))>>rng.IntN(5)
}

// pairedNode is a node that has two instances, or one, if some draws find one.
func pairedNode(w *Cache, rng *rand.Rand) int {
	n := anyNode(w, rng)
	for range 20 {
		if len(w.Platform.Instances(n)) > 1 {
			break
		}
		n = anyNode(w, rng)
	}
	return n
}

// anyNode is a node that has an instance, if some draws find one.
func anyNode(w *Cache, rng *rand.Rand) int {
	nodes := len(w.Proxy.Status().Nodes)
	n := rng.IntN(nodes)
	for range 20 {
		if len(w.Platform.Instances(n)) > 0 {
			break
		}
		n = rng.IntN(nodes)
	}
	return n
}

// busyNode waits for a node in session, if there is one soon.
func busyNode(w *Cache, rng *rand.Rand) int {
	for range 50 {
		if busy := w.Platform.InSession(); len(busy) > 0 {
			return busy[rng.IntN(len(busy))]
		}
		time.Sleep(100 * time.Millisecond)
	}
	return anyNode(w, rng)
}

func rest(rng *rand.Rand, most time.Duration) { time.Sleep(time.Duration(rng.Int64N(int64(most) + 1))) }

// distance is what every message of every run takes: without any, operations
// would take no time, and nothing could happen during one.
const distance = "delay *->* 200us jitter 600us\n"

// draw makes the rules of one run.
func (s *scenario) draw(rng *rand.Rand) string {
	script := distance
	for range s.drawn {
		script += fill(s.rules[rng.IntN(len(s.rules))], rng) + "\n"
	}
	return script
}

// fill puts numbers where a form has words for them. They are drawn so that early
// and late, near and far are alike likely.
func fill(form string, rng *rand.Rand) string {
	for _, word := range []struct {
		name string
		text func() string
	}{
		{"BYTES", func() string { return fmt.Sprint(int64(1000) << rng.IntN(14) * (100 + rng.Int64N(100)) / 100) }},
		{"WRITE", func() string { return fmt.Sprint(1 + rng.IntN(400)) }},
		{"DIAL", func() string { return fmt.Sprint(1 + rng.IntN(20)) }},
		{"TIME", func() string { return fmt.Sprint(time.Duration(1+rng.IntN(15000)) * time.Millisecond) }},
	} {
		form = strings.ReplaceAll(form, word.name, word.text())
	}
	return form
}
