package catalog

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func earlierRecord(key string, version uint64) (wire.Record, []Place) {
	r := wire.Record{Key: key, Version: version, Size: 150, Data: 2, Parity: 1, Stripe: 100, Stored: 1000}
	return r, []Place{{Node: 0, Instance: 1}, {Node: 1, Instance: 2}, {Node: 2, Instance: 3}, {Node: 3, Instance: 4}, {Node: 4, Instance: 5}, {Node: 5, Instance: 6}}
}

func TestRestore(t *testing.T) {
	p := newPaper()
	c := newCatalog(t, Config{Epoch: 3, Journal: p})
	r, places := earlierRecord("k", 2<<epochShift|7)
	if err := c.Restore(r, places); err != nil {
		t.Fatal(err)
	}
	clear(places)
	i, err := c.Stat("k")
	if err != nil || i.Version != r.Version || i.Size != 150 || c.Len() != 1 || c.Bytes() != 150 {
		t.Errorf("Stat = %+v, %v", i, err)
	}
	if at, size, ok := c.Named("k", r.Version, 1, 1); at != (Place{Node: 4, Instance: 5}) || size != 25 || !ok {
		t.Errorf("Named = %v, %d, %v", at, size, ok)
	}
	if len(p.ops) != 0 {
		t.Error("the journal was told what it knows")
	}
	if v := put(t, c, "k", 1, object.PutOptions{}).Info.Version; EpochOf(v) != 3 {
		t.Errorf("the next version is %#x", v)
	}
}

func TestRestoreRefuses(t *testing.T) {
	c := newCatalog(t, Config{Epoch: 3})
	r, places := earlierRecord("k", 1)
	if err := c.Restore(r, places); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*wire.Record)
		want   error
	}{
		"no key":                 {func(r *wire.Record) { r.Key = "" }, wire.ErrKey},
		"long key":               {func(r *wire.Record) { r.Key = strings.Repeat("k", wire.MaxKey+1) }, wire.ErrKey},
		"version 0":              {func(r *wire.Record) { r.Version = 0 }, wire.ErrRequest},
		"this epoch":             {func(r *wire.Record) { r.Version = 3<<epochShift | 1 }, wire.ErrRequest},
		"later epoch":            {func(r *wire.Record) { r.Version = 9 << epochShift }, wire.ErrRequest},
		"same key":               {func(r *wire.Record) { r.Key = "k" }, wire.ErrRequest},
		"no data chunks":         {func(r *wire.Record) { r.Data = 0 }, wire.ErrRequest},
		"many chunks":            {func(r *wire.Record) { r.Parity = 255 }, wire.ErrRequest},
		"no stripe":              {func(r *wire.Record) { r.Stripe = 0 }, wire.ErrRequest},
		"size of no sealed form": {func(r *wire.Record) { r.Size, r.Stripe, r.Seal.Salt[0] = 15, 15, 1 }, wire.ErrRequest},
		"negative size":          {func(r *wire.Record) { r.Size = -1 }, wire.ErrRequest},
		"other size":             {func(r *wire.Record) { r.Size = 100 }, wire.ErrRequest},
		"expiry":                 {func(r *wire.Record) { r.Expires = -1 }, wire.ErrRequest},
	} {
		r, places := earlierRecord("new", 2)
		test.change(&r)
		if err := c.Restore(r, places); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if c.Len() != 1 {
		t.Errorf("%d objects, want 1", c.Len())
	}
}

func TestRestoreLeavesExpiredOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPaper()
		c := newCatalog(t, Config{Epoch: 3, Journal: p})
		for key, at := range map[string]time.Time{"old": time.Now(), "new": time.Now().Add(time.Second)} {
			r, places := earlierRecord(key, uint64(len(key)+c.Len()))
			r.Expires = at.UnixMilli()
			p.mu.Lock()
			p.log(func(k *kept) { k.objects[r.Key] = r })
			p.mu.Unlock()
			if err := c.Restore(r, places); err != nil {
				t.Fatal(err)
			}
		}
		if c.Len() != 1 || len(p.restart(t, true).objects) != 1 {
			t.Errorf("%d objects, journal %v", c.Len(), p.restart(t, true).objects)
		}
		time.Sleep(time.Second)
		if c.ExpireDue(time.Now(), 0) != 1 {
			t.Error("a restored object does not expire")
		}
	})
}

func TestNamed(t *testing.T) {
	c := newCatalog(t, Config{})
	v := put(t, c, "k", stripeSize+3, object.PutOptions{}).Info.Version
	for _, test := range []struct {
		key     string
		version uint64
		stripe  uint32
		chunk   int
		size    int64
		ok      bool
	}{
		{"k", v, 0, 2, stripeSize / 2, true}, {"k", v, 1, 0, 2, true}, {"k", v, 1, 1, 1, true},
		{"k", v, 2, 0, 0, false}, {"k", v, 0, 3, 0, false}, {"k", v, 0, -1, 0, false},
		{"k", v + 1, 0, 0, 0, false}, {"other", v, 0, 0, 0, false}, {"", v, 0, 0, 0, false},
	} {
		at, size, ok := c.Named(test.key, test.version, test.stripe, test.chunk)
		if ok != test.ok || size != test.size || ok && at != (Place{Node: uint32(test.chunk), Instance: uint32(test.chunk + 1)}) {
			t.Errorf("Named(%q, %d, %d, %d) = %v, %d, %v", test.key, test.version, test.stripe, test.chunk, at, size, ok)
		}
	}
}

func TestLastRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCatalog(t, Config{})
		v := put(t, c, "k", 1, object.PutOptions{}).Info.Version
		if at, ok := c.LastRead("k", v); !at.IsZero() || !ok {
			t.Errorf("before any read: %v, %v", at, ok)
		}
		time.Sleep(time.Hour)
		p, err := c.Open("k")
		if err != nil {
			t.Fatal(err)
		}
		p.Release()
		read := time.Now()
		time.Sleep(time.Hour)
		_, _ = c.Stat("k")
		if at, ok := c.LastRead("k", v); !at.Equal(read) || !ok {
			t.Errorf("read at %v, told %v, %v", read, at, ok)
		}
		c.LoseInstance(1, func(d Damage) {
			if !d.LastRead.Equal(read) {
				t.Errorf("damage tells %v", d.LastRead)
			}
		})
		next := put(t, c, "k", 1, object.PutOptions{}).Info.Version
		if at, ok := c.LastRead("k", next); !at.Equal(read) || !ok {
			t.Errorf("of the version after: %v, %v", at, ok)
		}
		if _, ok := c.LastRead("k", v); ok {
			t.Error("a replaced version is told of")
		}
	})
}

func TestAdopt(t *testing.T) {
	p := newPaper()
	c := newCatalog(t, Config{Epoch: 3, Journal: p})
	put(t, c, "deleted", 1, object.PutOptions{})
	if _, _, err := c.Delete("deleted", false); err != nil {
		t.Fatal(err)
	}
	put(t, c, "newer", 1, object.PutOptions{})
	for _, test := range []struct {
		key    string
		expire int64
		lost   int
		fail   error
		want   error
	}{
		{key: "deleted", want: wire.ErrCondition}, {key: "newer", want: wire.ErrCondition},
		{key: "expired", expire: 1, want: wire.ErrCondition}, {key: "lost", lost: 2, want: wire.ErrLost},
		{key: "full", fail: errors.New("disk full"), want: wire.ErrUnavailable},
		{key: "damaged", lost: 1}, {key: "whole"},
	} {
		r, places := earlierRecord(test.key, 5)
		r.Expires = test.expire
		for i := range test.lost {
			places[i].Instance = 0
		}
		p.set(test.fail)
		if err := c.Adopt(r, places); !errors.Is(err, test.want) {
			t.Errorf("Adopt(%q) = %v, want %v", test.key, err, test.want)
		}
		p.set(nil)
	}
	compare(t, "in the end", p.restart(t, true), snapshot(c))
	if c.Len() != 3 {
		t.Errorf("%d objects, want 3", c.Len())
	}
}
