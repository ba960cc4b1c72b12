package simcache

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/pool"
)

// functionLinks gives every node the link of a function: so many bytes a second
// each way, and half a millisecond.
func functionLinks(t *testing.T, w *Cache, nodes, rate int) {
	t.Helper()
	rules := []string{"delay node/*->proxy 500us", "delay proxy->node/* 500us"}
	for n := range nodes {
		rules = append(rules, fmt.Sprintf("rate node/%d.*->proxy %d bytes/s", n, rate),
			fmt.Sprintf("rate proxy->node/%d.* %d bytes/s", n, rate))
	}
	if _, err := w.Net.Script(strings.Join(rules, "\n")); err != nil {
		t.Fatal(err)
	}
}

// books are how many bytes the nodes hold that somebody needs, and how many are
// dead or promised.
func books(w *Cache) (live, dead, promised int64) {
	for _, n := range w.Proxy.Status().Nodes {
		live += n.Held - n.Dead
		dead += n.Dead
		promised += n.Reserved
	}
	return live, dead, promised
}

// load stores objects of a size, k0 and so on.
func load(t *testing.T, c *infinicache.Client, objects, size int) map[string][]byte {
	t.Helper()
	want := map[string][]byte{}
	for i := range objects {
		key := fmt.Sprint("k", i)
		want[key] = content(uint64(i), size)
		mustPut(t, c, key, want[key])
	}
	return want
}

// missing reads everything and counts what is not there. What is there must be
// right.
func missing(t *testing.T, c *infinicache.Client, want map[string][]byte) (n int) {
	t.Helper()
	for key, b := range want {
		got, err := c.GetBytes(t.Context(), key)
		switch {
		case err != nil:
			t.Logf("%s: %v", key, err)
			n++
		case !bytes.Equal(got, b):
			t.Errorf("%s is wrong", key)
		}
	}
	return n
}

// notice is a case of TestNotice.
type notice struct {
	left  time.Duration
	state string // of the nodes when they hear
	nodes int    // that hear at once
	of    int
	lost  int // objects that may be lost
}

// A node that hears of its end hands over what it holds, whatever it does just
// then, hottest first and as much as the time allows.
func TestNotice(t *testing.T) {
	const objects = 8
	short, long, longest := 300*time.Millisecond, 10*time.Second, 30*time.Second
	tests := []notice{
		{short, "asleep", 1, 14, 0}, {short, "in session", 1, 14, 0}, {short, "busy", 1, 14, 0},
		{short, "asleep", 3, 14, 0}, {short, "full", 3, 14, 0}, {short, "slow to wake", 1, 14, 0},
		{short, "asleep", 4, 14, objects},
		{long, "in session", 1, 14, 0}, {long, "busy", 1, 14, 0},
		{long, "asleep", 3, 14, 0}, {long, "full", 1, 14, 0}, {long, "full", 3, 14, 0}, {long, "slow to wake", 4, 14, 0},
		{long, "asleep", 3, 12, 0}, {long, "busy", 3, 12, 0}, {long, "asleep", 6, 14, 0},
		{longest, "asleep", 1, 14, 0}, {longest, "busy", 3, 14, 0},
	}
	var mu sync.Mutex
	lines := make([]string, len(tests))
	t.Run("table", func(t *testing.T) {
		for k, tt := range tests {
			if *seeds < 100 && k%3 != 0 {
				continue // every third; the rest in long runs
			}
			t.Run(fmt.Sprintf("%v %s %d of %d", tt.left, tt.state, tt.nodes, tt.of), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					line := tt.run(t, objects)
					mu.Lock()
					defer mu.Unlock()
					lines[k] = line
				})
			})
		}
	})
	t.Logf("%d objects of 5 MiB in 10+2, links of 75 MB/s\n%s\n%s", objects,
		"notice  state         nodes   chunks moved  took     repaired lost evicted reads", strings.Join(lines, "\n"))
}

func (tt notice) run(t *testing.T, objects int) string {
	cfg := Config{Nodes: tt.of, Capacity: 64 << 20, Seed: 9}
	if tt.state == "full" {
		cfg.Capacity = int64(objects) * 14 * pool.Cost(512<<10, 128) / int64(tt.of)
	}
	w := New(t, cfg)
	functionLinks(t, w, tt.of, 75_000_000)
	c := w.Client()
	want := load(t, c, objects, 5<<20)
	for key := range want {
		if _, err := c.GetBytes(t.Context(), key); err != nil {
			delete(want, key) // evicted
		}
	}
	evicted := w.Proxy.Status().Evicted
	if tt.state != "in session" && tt.state != "busy" {
		time.Sleep(5 * time.Second)
	}
	if tt.state == "slow to wake" {
		w.Platform.Thaw = 400 * time.Millisecond
	}
	before, _, _ := books(w)
	var held int64
	for _, n := range w.Proxy.Status().Nodes[tt.of-tt.nodes:] {
		held += (n.Held - n.Dead) / pool.Cost(512<<10, 64)
	}

	var readers sync.WaitGroup
	var reads, others atomic.Int64
	stop := make(chan struct{})
	if tt.state == "busy" {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				key := fmt.Sprint("k", i%objects)
				if i%8 == 7 {
					mustPut(t, c, "other", content(uint64(i), 5<<20))
					mustGet(t, c, "other", content(uint64(i), 5<<20))
					others.Add(1)
				}
				mustGet(t, c, key, want[key])
				reads.Add(1)
			}
		})
	}
	began, took := time.Now(), time.Duration(0)
	for n := range tt.nodes {
		if w.Platform.Notice(tt.of-1-n, tt.left) != 1 {
			t.Errorf("node %d has no instance to give notice to", tt.of-1-n)
		}
	}
	for last := uint64(0); time.Since(began) < tt.left; time.Sleep(10 * time.Millisecond) {
		if m := w.Proxy.Status().ChunksMoved; m > last {
			last, took = m, time.Since(began)
		}
		if time.Since(began) > 2*time.Second && tt.state == "busy" {
			break
		}
	}
	time.Sleep(time.Second)
	close(stop)
	readers.Wait()
	time.Sleep(max(0, tt.left-time.Since(began)) + time.Second)
	w.Platform.Thaw = 5 * time.Millisecond
	s := w.Proxy.Status()
	if s.Notices != uint64(tt.nodes) || s.InstancesLost != uint64(tt.nodes) {
		t.Errorf("%d notices heard, %d instances lost, want %d", s.Notices, s.InstancesLost, tt.nodes)
	}
	lost := missing(t, c, want)
	room := int(w.Proxy.Status().Evicted - evicted)
	if lost -= room; lost > tt.lost {
		t.Errorf("%d objects are lost, %d at most may be", lost, tt.lost)
	}
	if spared := tt.state == "full" || tt.of-tt.nodes < 12; tt.left > time.Second && !spared && int64(s.ChunksMoved) < held {
		t.Errorf("%d of %d chunks moved in %v", s.ChunksMoved, held, tt.left)
	}
	// What moved is where the catalog says, and nothing else is held.
	if _, err := c.Delete(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Minute)
	missing(t, c, want)
	time.Sleep(time.Minute)
	after, dead, promised := books(w)
	if dead > before/2 || promised != 0 {
		t.Errorf("%d bytes dead, %d promised", dead, promised)
	}
	if tt.lost == 0 && room == 0 && after != before {
		t.Errorf("%d bytes are held that are needed, before the notice %d", after, before)
	}
	if lost == 0 {
		clean := w.Proxy.Status().ChunksFailed
		missing(t, c, want)
		if n := w.Proxy.Status().ChunksFailed - clean; n > 0 && room == 0 {
			t.Errorf("%d chunks are not where the catalog says", n)
		}
	}
	w.NothingUnexplained()
	return fmt.Sprintf("%-7v %-12s %2d/%2d %8d %6d  %-8v %7d %5d %5d %7d", tt.left, tt.state, tt.nodes, tt.of,
		held, s.ChunksMoved, took.Round(time.Millisecond), w.Proxy.Status().ChunksRepaired, lost, room, reads.Load())
}

// Where the time does not suffice, what was read last goes first.
func TestNoticeSavesTheHottestFirst(t *testing.T) {
	const objects = 40
	// run tells which objects are lost, by their place in the order of reading, and
	// how many chunks were moved.
	run := func(t *testing.T, left time.Duration) (lost []int, moved int) {
		synctest.Test(t, func(t *testing.T) {
			w := New(t, Config{Nodes: 3, Shape: object.Shape{Data: 1}, Capacity: 200 << 20, Seed: 2})
			c := w.Client()
			want := load(t, c, objects, 1<<20)
			key := func(i int) string { return fmt.Sprint("k", i*7%objects) } // not as they were written
			for i := range objects {
				time.Sleep(1100 * time.Millisecond)
				mustGet(t, c, key(i), want[key(i)])
			}
			time.Sleep(3 * time.Second)
			functionLinks(t, w, 3, 20<<20)
			w.Platform.Notice(0, left)
			time.Sleep(time.Second)
			moved = int(w.Proxy.Status().ChunksMoved)
			for i := range objects {
				if _, err := c.Stat(t.Context(), key(i)); err != nil {
					lost = append(lost, i)
				}
			}
		})
		return lost, moved
	}
	held, none := run(t, time.Millisecond)
	lost, moved := run(t, 350*time.Millisecond)
	t.Logf("read as number: %v; %d moved, lost %v", held, moved, lost)
	if none != 0 || moved < 3 || len(lost) < 3 || moved+len(lost) != len(held) {
		t.Fatalf("%d of %d chunks moved, %d lost", moved, len(held), len(lost))
	}
	// Four are on their way at once, of which the last are lost.
	if i := len(lost) - 4; lost[i] != held[i] {
		t.Errorf("of %v read in this order, %v are lost", held, lost)
	}
}

// A node both of whose instances are told to end is drained, one of whose
// instances is told is not: the other holds the same.
func TestNoticeToAPair(t *testing.T) {
	for _, both := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := New(t, Config{Nodes: 8, Shape: object.Shape{Data: 4, Parity: 1}, Backup: time.Minute, Seed: 5})
			c := w.Client()
			want := load(t, c, 12, 4<<20)
			time.Sleep(3 * time.Minute)
			for node := range 2 {
				if n := len(w.Platform.Instances(node)); n != 2 {
					t.Fatalf("node %d has %d instances, want a pair", node, n)
				}
				if both {
					w.Platform.Notice(node, 10*time.Second)
				} else {
					w.Platform.NoticeOne(node, 0, 10*time.Second)
				}
			}
			time.Sleep(15 * time.Second)
			moved := w.Proxy.Status().ChunksMoved
			if n := missing(t, c, want); n > 0 || (moved > 0) != both {
				t.Errorf("both %v: %d chunks moved, %d objects missing", both, moved, n)
			}
			w.NothingUnexplained()
		})
	}
}
