//go:build e2e

package knative

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/ledger"
)

const (
	// nicRate is that of a simulated machine's interface, in Mbit a second: so low that
	// the processors, which all machines share, can do six times as much.
	nicRate  = 200
	slowRate = nicRate / 10
	crowd    = 4 // clients that read at a time
)

// place is where the pods of a pool are.
type place struct {
	name string
	layout
	client    *client.Client // its own, since a client learns how long reads take
	exercises []exercise
}

// exercise is what a number of clients do at a time.
type exercise struct {
	op      string
	clients int
}

func (e exercise) String() string { return fmt.Sprintf("%s of 10 MiB by %d", e.op, e.clients) }

// turns are of an exercise at a place.
type turns struct {
	exercise
	place string
}

// outcome is what turns showed.
type outcome struct {
	speed []float64       // MiB a second
	ratio []float64       // of that to the speed of the reference in the same round
	cpu   []float64       // part of the processors' time that was used, by whomever
	nic   []float64       // part of the rate that the busiest interface had, of those at nicRate
	took  []time.Duration // in all turns
}

// TestPackedAgainstSpread measures what it costs that all chunks of a stripe pass
// through the network of one machine, instead of a machine each, and what it costs that
// one machine of six is slow. Machines are simulated by limits on the pods' interfaces.
func TestPackedAgainstSpread(t *testing.T) {
	needNICs(t)
	const rounds, period, objects = 3, time.Second, 12
	p := newPool(t, "contend", 6, fields{"links": "direct", "proxyFlags": []string{"--shape=4+2"}})
	c := p.client()
	keys, values := make([]string, objects), make([][]byte, objects)
	for k := range keys {
		keys[k] = fmt.Sprint("contend/", k)
		values[k] = ledger.BytesOf(keys[k], 1, tenMiB)
		if _, err := c.PutBytes(t.Context(), keys[k], values[k]); err != nil {
			t.Fatal(err)
		}
	}
	get := func(c *client.Client, k int) {
		t.Helper()
		got, err := c.GetBytes(t.Context(), keys[k])
		if err != nil || !bytes.Equal(got, values[k]) {
			t.Errorf("GET of what is stored: %d bytes, %v", len(got), err)
		}
	}
	set := func(c *client.Client, k int) {
		t.Helper()
		if _, err := c.PutBytes(t.Context(), keys[k], values[k]); err != nil {
			t.Errorf("SET: %v", err)
		}
	}

	n := newNICs(t, p)
	apart := []int{0, 1, 2, 3, 4, 5}
	one, many, write := exercise{"GET", 1}, exercise{"GET", crowd}, exercise{"SET", 1}
	all := []exercise{one, many, write}
	spread := place{"a machine each", layout{apart, nicRate}, p.client(), all}
	packed := place{"all on one machine", layout{make([]int, 6), nicRate}, p.client(), all}
	free := place{"no limit", layout{}, p.client(), all}
	slow := place{"a machine each, one at a tenth", layout{apart, slowRate}, p.client(), all}
	// A SET needs five of six chunks, and so one by that machine.
	paired := place{"two on the one at a tenth", layout{[]int{0, 0, 2, 3, 4, 5}, slowRate}, p.client(), all[:2]}
	found := map[turns]*outcome{}
	for range rounds {
		for _, w := range []place{spread, packed, free, slow, paired} {
			n.plug(w.layout)
			get(w.client, 0) // connections get used to it
			for _, e := range w.exercises {
				do := get
				if e == write {
					do = set
				}
				o := found[turns{e, w.name}]
				if o == nil {
					o = &outcome{}
					found[turns{e, w.name}] = o
				}
				o.turn(n, period, e.clients, func(i int) { do(w.client, i%objects) })
				of := found[turns{e, spread.name}].speed
				o.ratio = append(o.ratio, o.speed[len(o.speed)-1]/of[len(of)-1])
			}
			if w.first == slowRate {
				n.plug(layout{})
				await(t, 30*time.Second, "chunks that came late are repaired", func() bool { return p.status().Catalog.RepairsWaiting == 0 })
			}
		}
	}
	for _, e := range all {
		for _, w := range []place{packed, spread, slow, paired, free} {
			if o := found[turns{e, w.name}]; o != nil {
				report(t, fmt.Sprint(e, ", ", w.name), "%v", o)
			}
		}
		if r := middle(found[turns{e, packed.name}].ratio); r > 1/1.5 {
			t.Errorf("%v: all on one machine is %.2f times as fast as a machine each", e, r)
		}
	}
	// By itself the slow machine would have a tenth.
	if r := middle(found[turns{one, slow.name}].ratio); r < 0.25 {
		t.Errorf("%v: with one machine of six at a tenth of its speed %.2f of it is left", one, r)
	}
	if n := p.status().Traffic.UnexplainedMisses; n > 0 {
		t.Errorf("%d misses are not explained", n)
	}
}

// turn has clients do something over and over for a period. What is under way at its
// end counts in proportion.
func (o *outcome) turn(n *nics, period time.Duration, clients int, do func(i int)) {
	var mu sync.Mutex
	var all sync.WaitGroup
	done, next := 0.0, 0
	busy, carried, began := processors(n.t), n.carried(), time.Now()
	end := began.Add(period)
	for range clients {
		all.Go(func() {
			for time.Now().Before(end) {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				from := time.Now()
				do(i)
				took := time.Since(from)
				mu.Lock()
				o.took = append(o.took, took)
				done += min(1, float64(end.Sub(from))/float64(took))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	elapsed, most := time.Since(began).Seconds(), 0.0
	for i, now := range n.carried() {
		most = max(most, now-carried[i])
	}
	used := processors(n.t)
	o.speed = append(o.speed, done*tenMiB/(1<<20)/period.Seconds())
	o.nic = append(o.nic, most*8/1e6/nicRate/elapsed)
	o.cpu = append(o.cpu, (used[0]-busy[0])/(used[1]-busy[1]))
}

func (o *outcome) String() string {
	slices.Sort(o.took)
	at := func(percent int) time.Duration { return o.took[(len(o.took)*percent+99)/100-1].Round(time.Millisecond) }
	return fmt.Sprintf("%4.0f MiB/s (%.0f to %.0f), %.2f times spread; p50 %v, p99 %v of %d; busiest interface %.0f %%, processors %.0f %%",
		middle(o.speed), slices.Min(o.speed), slices.Max(o.speed), middle(o.ratio), at(50), at(99), len(o.took), 100*middle(o.nic), 100*middle(o.cpu))
}

// middle is the median.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// processors are the time that all of them have been busy, and all of their time.
func processors(t *testing.T) (times [2]float64) {
	t.Helper()
	const idle, iowait, guest = 3, 4, 8 // of /proc/stat; guests are in the first two
	for i, v := range numbers(t, "/proc/stat")[:guest] {
		if i != idle && i != iowait {
			times[0] += v
		}
		times[1] += v
	}
	return times
}

// numbers are those in the first line of a file.
func numbers(t *testing.T, file string) (values []float64) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for _, word := range strings.Fields(line) {
		if v, err := strconv.ParseFloat(word, 64); err == nil {
			values = append(values, v)
		}
	}
	return values
}
