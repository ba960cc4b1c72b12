package catalog

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		c := newCatalog(t, Config{OnFree: l.free})
		in := func(d time.Duration) object.PutOptions {
			return object.PutOptions{Expires: time.Now().Add(d)}
		}
		miss := func(key string, want wire.Cause) {
			t.Helper()
			if _, err := c.Stat(key); wire.CauseOf(err) != want {
				t.Errorf("Stat(%q) = %v, want a miss that is %v", key, err, want)
			}
		}
		hit := func(key string) object.Info {
			t.Helper()
			i, err := c.Stat(key)
			if err != nil {
				t.Errorf("Stat(%q): %v", key, err)
			}
			return i
		}

		read := put(t, c, "read", 1, in(time.Second)).Info.Version
		put(t, c, "kept", 1, in(time.Second))
		put(t, c, "kept", 1, object.PutOptions{KeepExpiry: true, Expires: time.Unix(1, 0)})
		put(t, c, "dropped", 1, in(time.Second))
		put(t, c, "dropped", 1, object.PutOptions{})
		put(t, c, "persisted", 1, in(time.Second))
		if found, changed, err := c.SetExpiry("persisted", expireAt(time.Time{})); !found || !changed || err != nil {
			t.Errorf("SetExpiry = %v, %v, %v", found, changed, err)
		}
		put(t, c, "shortened", 1, object.PutOptions{})
		c.SetExpiry("shortened", expireAt(time.Now().Add(time.Second)))
		put(t, c, "lengthened", 1, in(time.Second))
		c.SetExpiry("lengthened", expireAt(time.Now().Add(2*time.Second)))
		put(t, c, "never", 1, object.PutOptions{KeepExpiry: true, Expires: time.Unix(1, 0)})
		late := stage(t, c, "late", 1, in(time.Second))
		old := put(t, c, "late", 1, object.PutOptions{}).Info.Version
		absent := stage(t, c, "read", 1, object.PutOptions{})
		absent.o.Condition = object.IfAbsent // begun while the key was free

		time.Sleep(time.Second - time.Millisecond)
		for _, key := range []string{"read", "kept", "shortened", "lengthened"} {
			hit(key)
		}
		if n := c.ExpireDue(time.Now(), 0); n != 0 {
			t.Errorf("ExpireDue before anything is due = %d", n)
		}
		time.Sleep(time.Millisecond)
		for _, key := range []string{"read", "kept", "shortened"} {
			miss(key, wire.CauseExpired)
		}
		if n := l.count(read); n != 1 {
			t.Errorf("freed %d times by the read that found it expired, want 1", n)
		}
		for _, key := range []string{"dropped", "persisted", "lengthened"} {
			hit(key)
		}
		if i := hit("never"); !i.Expires.IsZero() {
			t.Errorf("KeepExpiry without an object: expires %v", i.Expires)
		}
		if r, err := late.Commit(1); err != nil || !r.Stored || l.count(late.Version()) != 1 || l.count(old) != 1 {
			t.Errorf("Commit after the expiry: %+v, %v; freed %v", r, err, l.freed)
		}
		miss("late", wire.CauseDeleted)
		if r, err := absent.Commit(1); err != nil || !r.Stored {
			t.Errorf("IfAbsent on an expired object: %+v, %v", r, err)
		}
		if found, changed, _ := c.SetExpiry("kept", expireAt(time.Now().Add(time.Hour))); found || changed {
			t.Error("SetExpiry revived an expired object")
		}
	})
}

func TestSetExpiryAsksFirst(t *testing.T) {
	var l ledger
	c := newCatalog(t, Config{OnFree: l.free})
	asked := 0
	set := func(at time.Time, change bool) (found, changed bool) {
		found, changed, err := c.SetExpiry("k", func(i object.Info) (time.Time, bool) {
			if asked++; i.Key != "k" || i.Size != 5 {
				t.Errorf("asked about %+v", i)
			}
			return at, change
		})
		if err != nil {
			t.Fatal(err)
		}
		return found, changed
	}
	soon := time.Now().Add(time.Hour).Truncate(time.Millisecond)

	if found, changed := set(soon, true); found || changed || asked != 0 {
		t.Errorf("without an object: %v, %v, asked %d times", found, changed, asked)
	}
	put(t, c, "k", 5, object.PutOptions{Expires: soon})
	for _, at := range []time.Time{{}, time.Unix(1, 0), soon.Add(1)} {
		if found, changed := set(at, false); !found || changed {
			t.Errorf("decided against %v: %v, %v", at, found, changed)
		}
		if i, err := c.Stat("k"); err != nil || !i.Expires.Equal(soon) {
			t.Errorf("decided against %v: expires %v, %v", at, i.Expires, err)
		}
	}
	if found, changed := set(time.Unix(1, 0), true); !found || !changed || len(l.freed) != 1 || c.Len() != 0 {
		t.Errorf("an instant that is over: %v, %v, freed %v", found, changed, l.freed)
	}
	if asked != 4 {
		t.Errorf("asked %d times in all, want 4", asked)
	}
}

// Many who each add a second to the expiry lose none.
func TestSetExpiryIsAtomic(t *testing.T) {
	c := newCatalog(t, Config{})
	start := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	put(t, c, "k", 1, object.PutOptions{Expires: start})
	const many, each = 4, 1000
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			for range each {
				c.SetExpiry("k", func(i object.Info) (time.Time, bool) { return i.Expires.Add(time.Second), true })
			}
		})
	}
	wg.Wait()
	if i, err := c.Stat("k"); err != nil || !i.Expires.Equal(start.Add(many*each*time.Second)) {
		t.Errorf("expires %v after the start, %v; want %v", i.Expires.Sub(start), err, many*each*time.Second)
	}
}

func TestExpireDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		c := newCatalog(t, Config{OnFree: l.free})
		const n = 100
		for i := range n {
			put(t, c, fmt.Sprint(i), 1, object.PutOptions{Expires: time.Now().Add(time.Duration(i*37%n+1) * time.Second)})
		}
		time.Sleep(n / 2 * time.Second)
		if keys, _ := c.Scan(0, n); len(keys) != n/2 {
			t.Errorf("Scan listed %d keys, want %d", len(keys), n/2)
		}
		if got := c.ExpireDue(time.Now(), 10); got != 10 {
			t.Errorf("ExpireDue at most 10 = %d", got)
		}
		if got := c.ExpireDue(time.Now(), 0); got != n/2-10 {
			t.Errorf("ExpireDue = %d, want %d", got, n/2-10)
		}
		if c.Len() != n/2 || len(l.freed) != n/2 || len(c.due.heap) != n/2 {
			t.Errorf("%d objects, %d freed, %d to expire", c.Len(), len(l.freed), len(c.due.heap))
		}
		for i := range n { // what leaves otherwise leaves the heap, too
			c.Delete(fmt.Sprint(i), false)
		}
		if len(c.due.heap) != 0 {
			t.Errorf("%d versions still to expire", len(c.due.heap))
		}
	})
}

func TestMillis(t *testing.T) {
	for _, test := range []struct {
		at   time.Time
		want int64
	}{
		{time.Time{}, 0},
		{time.Unix(0, 0), 1},
		{time.Unix(-5, 0), 1},
		{time.UnixMilli(1500), 1500},
		{time.UnixMilli(1500).Add(1), 1501},
		{time.UnixMilli(1<<63 - 1), maxExpires},
	} {
		if got := millis(test.at); got != test.want {
			t.Errorf("millis(%v) = %d, want %d", test.at, got, test.want)
		}
	}
}
