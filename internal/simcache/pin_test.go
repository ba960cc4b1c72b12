package simcache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/proxy"
)

// What becomes of a key while one of its versions is being read does not touch
// the reader.
func TestReadersKeepTheVersionTheyOpened(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, w *Cache, c *infinicache.Client){
		"overwritten": func(t *testing.T, _ *Cache, c *infinicache.Client) { mustPut(t, c, "k", content(2, 1<<20)) },
		"deleted": func(t *testing.T, _ *Cache, c *infinicache.Client) {
			if existed, err := c.Delete(t.Context(), "k"); !existed || err != nil {
				t.Errorf("delete: %v, %v", existed, err)
			}
		},
		"pool refilled": func(t *testing.T, _ *Cache, c *infinicache.Client) {
			for i := range 30 {
				mustPut(t, c, fmt.Sprint("other", i), content(uint64(i), 10<<20))
			}
		},
		"flushed": func(t *testing.T, w *Cache, _ *infinicache.Client) { _ = w.Proxy.Flush(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: 12, Capacity: 12 << 20})
				c, slow := w.Client(), w.Client()
				want := content(1, 40<<20)
				mustPut(t, c, "k", want)
				o, err := slow.Get(t.Context(), "k")
				if err != nil {
					t.Fatal(err)
				}
				head := make([]byte, 1<<20)
				if _, err := io.ReadFull(o, head); err != nil {
					t.Fatal(err)
				}
				change(t, w, c)
				time.Sleep(5 * time.Second)
				rest, err := io.ReadAll(o)
				if err != nil || !bytes.Equal(append(head, rest...), want) {
					t.Errorf("read on: %d of %d bytes, error %v", len(head)+len(rest), len(want), err)
				}
				o.Close()
				time.Sleep(time.Minute)
				synctest.Wait()
				if s := w.Proxy.Status(); s.Pinned != 0 || s.Staged != 0 {
					t.Errorf("%d pins and %d staged versions are left", s.Pinned, s.Staged)
				}
				w.NothingUnexplained()
			})
		})
	}
}

// A reader that rests in the middle of an object holds up nobody else.
func TestReaderThatRestsInMidObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 12})
		c, slow := w.Client(), w.Client()
		want := content(1, 100<<20)
		mustPut(t, c, "k", want)
		o, err := slow.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 1<<20)
		if _, err := io.ReadFull(o, head); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			began := time.Now()
			mustGet(t, c, "k", want)
			if d := time.Since(began); d > time.Second {
				t.Errorf("a read beside one that rests took %v", d)
			}
			time.Sleep(20 * time.Second)
		}
		rest, err := io.ReadAll(o)
		if err != nil || !bytes.Equal(rest, want[1<<20:]) {
			t.Errorf("read on after 200 s: %d bytes, error %v", len(rest), err)
		}
		o.Close()
		w.NothingUnexplained()
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		c := w.Client()
		want := content(1, 2<<20)
		if _, err := c.PutBytes(t.Context(), "k", want, infinicache.WithTTL(time.Minute)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		mustGet(t, c, "k", want)
		time.Sleep(2 * time.Second)
		if _, err := c.GetBytes(t.Context(), "k"); infinicache.MissCause(err) != "expired" {
			t.Errorf("get after the expiry: %v", err)
		}
		mustPut(t, c, "wake", nil)
		time.Sleep(10 * time.Second)
		if s := w.Proxy.Status(); s.Objects != 1 {
			t.Errorf("%d objects, want the one that does not expire", s.Objects)
		}
		const lifetime = 290 * 365 * 24 * time.Hour
		if _, err := c.PutBytes(t.Context(), "k", want, infinicache.WithTTL(lifetime)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		mustGet(t, c, "k", want)
		w.NothingUnexplained()
	})
}

// A pool of one node has nothing to spare: what it loses is a miss, and it serves
// on.
func TestPoolOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 1, Shape: object.Shape{Data: 1}})
		c := w.Client()
		for round := range 3 {
			want := content(uint64(round), 3<<20)
			mustPut(t, c, "k", want)
			time.Sleep(time.Minute)
			mustGet(t, c, "k", want)
			w.Platform.Reclaim(0)
			if _, err := c.GetBytes(t.Context(), "k"); !errors.Is(err, infinicache.ErrNotFound) {
				t.Errorf("get after the only node was taken: %v, want a miss", err)
			}
		}
		w.NothingUnexplained()
	})
}

// pattern is an endless body that costs no memory.
type pattern struct{ at int64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte((p.at + int64(i)) * 2654435761 >> 12)
	}
	p.at += int64(len(b))
	return len(b), nil
}

// watcher is a writer that compares with a pattern and looks at the heap.
type watcher struct {
	want pattern
	n    int64
	bad  int
	peak uint64
}

func (v *watcher) Write(b []byte) (int, error) {
	want := make([]byte, len(b))
	_, _ = v.want.Read(want)
	if !bytes.Equal(want, b) {
		v.bad++
	}
	if v.n>>25 != (v.n+int64(len(b)))>>25 { // every 32 MiB
		v.peak = max(v.peak, heap())
	}
	v.n += int64(len(b))
	return len(b), nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// An object many times larger than the doors' budget goes through it both ways.
func TestLargeObjectThroughASmallBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 14, Proxy: func(c *proxy.Config) { c.StripeBudget = 24 << 20 }})
		const size = 200 << 20
		before := heap()
		body := &pattern{}
		if _, err := w.Proxy.Put(t.Context(), "k", -1, io.LimitReader(body, size), object.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := w.Proxy.Open(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		v := &watcher{}
		n, err := r.WriteRange(t.Context(), v, 0, -1)
		if err != nil || n != size || v.bad != 0 {
			t.Errorf("%d of %d bytes, %d pieces wrong, error %v", n, size, v.bad, err)
		}
		if v.peak > before+100<<20 {
			t.Errorf("the heap grew from %d to %d bytes", before, v.peak)
		}
		w.NothingUnexplained()
	})
}
