package catalog

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestPlanAndPlaceRefuse(t *testing.T) {
	c := newCatalog(t, Config{})
	s, err := c.Begin("k", object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, wire.ErrRequest) {
			t.Errorf("%s: %v, want %v", what, err, wire.ErrRequest)
		}
	}
	refused("Place without a plan", s.Place(0, nil))
	_, err = s.Commit(0)
	refused("Commit without a plan", err)
	refused("shape 0+0", s.SetPlan(object.Shape{}, 1))
	refused("shape 60+5", s.SetPlan(object.Shape{Data: 60, Parity: 5}, 1))
	refused("negative parity", s.SetPlan(object.Shape{Data: 1, Parity: -1}, 1))
	refused("stripe of nothing", s.SetPlan(object.Shape{Data: 1}, 0))
	refused("stripe too long", s.SetPlan(object.Shape{Data: 1}, wire.MaxChunkSize+1))
	if err := s.SetPlan(object.Shape{Data: 1, Parity: 1}, 10); err != nil {
		t.Fatal(err)
	}
	refused("too few places", s.Place(0, []Place{{Node: 1, Instance: 1}}))
	refused("stripe far ahead", s.Place(maxGap+1, []Place{{Node: 1, Instance: 1}, {Node: 2, Instance: 2}}))
	if err := s.Place(maxGap, []Place{{Node: 1, Instance: 1}, {Node: 2, Instance: 2}}); err != nil {
		t.Errorf("stripe ahead: %v", err)
	}
	refused("plan after places", s.SetPlan(object.Shape{Data: 1}, 1))
	if got := s.Places(3); got != nil {
		t.Errorf("places of a stripe that was skipped: %v", got)
	}
	if s.SetPlace(3, 0, Place{Node: 1, Instance: 1}) || s.SetPlace(maxGap, 2, Place{Node: 1, Instance: 1}) || s.SetPlace(maxGap, -1, Place{Node: 1, Instance: 1}) {
		t.Error("SetPlace took a chunk that does not exist")
	}
	s.Abort()
	refused("Place after Abort", s.Place(0, []Place{{Node: 1, Instance: 1}, {Node: 2, Instance: 2}}))
	_, err = s.Commit(0)
	refused("Commit after Abort", err)
	if s.SetPlace(maxGap, 0, Place{Node: 1, Instance: 1}) {
		t.Error("SetPlace took a chunk after Abort")
	}
}

func TestCommitChecks(t *testing.T) {
	none := []Place{{Node: 0, Instance: 0}, {Node: 1, Instance: 0}, {Node: 2, Instance: 0}}
	for _, test := range []struct {
		name string
		size int64
		rows [][]Place
		want error
	}{
		{"negative", -1, nil, wire.ErrRequest},
		{"beyond any object", wire.MaxObject + 1, nil, wire.ErrRequest},
		{"stripe not placed", stripeSize + 1, [][]Place{{{Node: 0, Instance: 1}, {Node: 1, Instance: 2}, {Node: 2, Instance: 3}}}, wire.ErrShort},
		{"stripe skipped", stripeSize + 1, [][]Place{nil, {{Node: 0, Instance: 1}, {Node: 1, Instance: 2}, {Node: 2, Instance: 3}}}, wire.ErrShort},
		{"stripe too many", 1, [][]Place{{{Node: 0, Instance: 1}, {Node: 1, Instance: 2}, {Node: 2, Instance: 3}}, {{Node: 0, Instance: 1}, {Node: 1, Instance: 0}, {Node: 2, Instance: 0}}}, wire.ErrShort},
		{"empty stripe too many", 1, [][]Place{{{Node: 0, Instance: 1}, {Node: 1, Instance: 2}, {Node: 2, Instance: 3}}, none}, nil},
		{"empty object", 0, [][]Place{none}, nil},
		{"one of three missing", 2, [][]Place{{{Node: 0, Instance: 1}, {Node: 1, Instance: 0}, {Node: 2, Instance: 3}}}, nil},
		{"two of three missing", 2, [][]Place{{{Node: 0, Instance: 1}, {Node: 1, Instance: 0}, {Node: 2, Instance: 0}}}, wire.ErrLost},
		{"one missing, one empty", 1, [][]Place{{{Node: 0, Instance: 0}, {Node: 1, Instance: 0}, {Node: 2, Instance: 3}}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l ledger
			c := newCatalog(t, Config{OnFree: l.free})
			s, err := c.Begin("k", object.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SetPlan(object.Shape{Data: 2, Parity: 1}, stripeSize); err != nil {
				t.Fatal(err)
			}
			for i, row := range test.rows {
				if row == nil {
					continue
				}
				if err := s.Place(uint32(i), row); err != nil {
					t.Fatal(err)
				}
			}
			r, err := s.Commit(test.size)
			if !errors.Is(err, test.want) || r.Stored != (test.want == nil) {
				t.Fatalf("Commit(%d) = %+v, %v; want %v", test.size, r, err, test.want)
			}
			s.Abort()
			s.Abort()
			if got, want := l.count(s.Version()) == 1, test.want != nil; got != want {
				t.Errorf("freed by Abort: %v, want %v", got, want)
			}
			if n := c.Stats().Staged; n != 0 {
				t.Errorf("%d versions staged after Abort", n)
			}
		})
	}
}

// What is freed names every held chunk with its length.
func TestFreedChunks(t *testing.T) {
	var l ledger
	c := newCatalog(t, Config{OnFree: l.free})
	places := []Place{{Node: 4, Instance: 14}, {Node: 5, Instance: 15}, {Node: 6, Instance: 0}}
	begin := func() *Staged {
		s := stage(t, c, "k", 0, object.PutOptions{})
		for i := range uint32(2) {
			if err := s.Place(i, places); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	chunk := func(stripe uint32, chunk uint16, size int64) FreedChunk {
		return FreedChunk{Place: places[chunk], Stripe: stripe, Chunk: chunk, Size: size}
	}
	const half = stripeSize / 2
	full := []FreedChunk{chunk(0, 0, half), chunk(0, 1, half)}

	s := begin()
	if _, err := s.Commit(stripeSize + 5); err != nil {
		t.Fatal(err)
	}
	c.Delete("k", false)
	if d := cmp.Diff(append(full[:2:2], chunk(1, 0, 3), chunk(1, 1, 2)), l.last.Chunks); d != "" {
		t.Errorf("committed (-want +got):\n%s", d)
	}

	begin().Abort()
	if d := cmp.Diff(append(full[:2:2], chunk(1, 0, half), chunk(1, 1, half)), l.last.Chunks); d != "" {
		t.Errorf("given up, size not known (-want +got):\n%s", d)
	}

	s = begin()
	s.SetSize(stripeSize + 1)
	s.Abort()
	if d := cmp.Diff(append(full[:2:2], chunk(1, 0, 1)), l.last.Chunks); d != "" {
		t.Errorf("given up, size declared (-want +got):\n%s", d)
	}
	if r := l.last.Record; r.Version != s.Version() || r.Key != "k" || r.Size != stripeSize+1 || r.Stripe != stripeSize {
		t.Errorf("record of what was given up: %+v", r)
	}

	s, err := c.Begin("k", object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Abort()
	if l.last.Record.Version != s.Version() || l.last.Chunks != nil {
		t.Errorf("given up before its plan: %+v", l.last)
	}
}

func TestLoseInstance(t *testing.T) {
	c := newCatalog(t, Config{})
	put(t, c, "whole", 2*stripeSize, object.PutOptions{})
	put(t, c, "hurt", 2*stripeSize, object.PutOptions{})
	p, err := c.Open("hurt")
	if err != nil {
		t.Fatal(err)
	}
	if !p.SetPlace(1, 0, Place{Node: 0, Instance: 1}, Place{Node: 0, Instance: 0}) || p.SetPlace(1, 0, Place{Node: 0, Instance: 1}, Place{Node: 0, Instance: 0}) {
		t.Error("SetPlace is no compare-and-set")
	}
	staged := stage(t, c, "staged", stripeSize, object.PutOptions{})

	worst := map[string]int{}
	if n := c.LoseInstance(2, func(d Damage) {
		if d.Chunks != 2 {
			t.Errorf("%s lost %d chunks, want 2", d.Record.Key, d.Chunks)
		}
		worst[d.Record.Key] = d.Worst
		if d.Fatal() && !c.Lose(d.Record.Key, d.Record.Version, wire.CauseLost) {
			t.Errorf("Lose(%q) refused", d.Record.Key)
		}
	}); n != 2 {
		t.Errorf("LoseInstance = %d, want 2", n)
	}
	if d := cmp.Diff(map[string]int{"whole": 1, "hurt": 2}, worst); d != "" {
		t.Errorf("damage (-want +got):\n%s", d)
	}
	if _, err := c.Open("hurt"); wire.CauseOf(err) != wire.CauseLost {
		t.Errorf("Open of what was lost: %v", err)
	}
	if n := c.LoseInstance(2, nil) + c.LoseInstance(0, nil); n != 0 {
		t.Errorf("LoseInstance again found %d objects", n)
	}
	if d := cmp.Diff([]Place{{Node: 0, Instance: 1}, {Node: 1, Instance: 0}, {Node: 2, Instance: 3}}, staged.Places(0)); d != "" {
		t.Errorf("places of the staged version (-want +got):\n%s", d)
	}
	c.LoseInstance(3, nil)
	if _, err := staged.Commit(stripeSize); !errors.Is(err, wire.ErrLost) {
		t.Errorf("Commit of what lost too much: %v", err)
	}
	i, err := c.Stat("whole")
	if err != nil {
		t.Fatal(err)
	}
	if c.PinVersion("whole", i.Version+1) != nil {
		t.Error("PinVersion pinned another version")
	}
	repair := c.PinVersion("whole", i.Version)
	if repair == nil || !repair.SetPlace(0, 1, Place{Node: 1, Instance: 0}, Place{Node: 7, Instance: 8}) {
		t.Fatal("no repair")
	}
	if d := cmp.Diff([]Place{{Node: 0, Instance: 1}, {Node: 7, Instance: 8}, {Node: 2, Instance: 0}}, repair.Places(0, nil)); d != "" {
		t.Errorf("places after repair (-want +got):\n%s", d)
	}
}

// Options set late count as those of Begin would, at the moment of the commit.
func TestSetOptions(t *testing.T) {
	soon := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	later := soon.Add(time.Hour)
	gone := func(c *Catalog) { c.Delete("k", false) }
	for _, test := range []struct {
		name    string
		stands  bool // an object that expires soon, when the version begins
		begin   object.PutOptions
		late    object.PutOptions
		between func(*Catalog) // happens after the options were set

		stored   bool
		expires  time.Time // of what stands then
		replaced bool
	}{
		{name: "nothing", stands: true, stored: true},
		{name: "expiry", stands: true, late: object.PutOptions{Expires: later}, stored: true, expires: later},
		{name: "no expiry after all", begin: object.PutOptions{Expires: later}, stored: true},
		{name: "kept expiry", stands: true, late: object.PutOptions{KeepExpiry: true}, stored: true, expires: soon},
		{name: "kept expiry of what came between", late: object.PutOptions{KeepExpiry: true}, stored: true, expires: later,
			between: func(c *Catalog) { put(t, c, "k", 1, object.PutOptions{Expires: later}) }},
		{name: "replaced", stands: true, late: object.PutOptions{WantReplaced: true}, stored: true, replaced: true},
		{name: "replaced not wanted after all", stands: true, begin: object.PutOptions{WantReplaced: true}, stored: true},
		{name: "absent", late: object.PutOptions{Condition: object.IfAbsent}, stored: true},
		{name: "not absent", stands: true, late: object.PutOptions{Condition: object.IfAbsent, WantReplaced: true, Expires: later},
			expires: soon, replaced: true},
		{name: "not absent any more", late: object.PutOptions{Condition: object.IfAbsent},
			between: func(c *Catalog) { put(t, c, "k", 1, object.PutOptions{}) }},
		{name: "absent by now", stands: true, late: object.PutOptions{Condition: object.IfAbsent}, between: gone, stored: true},
		{name: "present", stands: true, late: object.PutOptions{Condition: object.IfPresent}, stored: true},
		{name: "not present", late: object.PutOptions{Condition: object.IfPresent}},
		{name: "not present any more", stands: true, late: object.PutOptions{Condition: object.IfPresent}, between: gone},
	} {
		t.Run(test.name, func(t *testing.T) {
			var l ledger
			c := newCatalog(t, Config{OnFree: l.free})
			if test.stands {
				put(t, c, "k", 1, object.PutOptions{Expires: soon})
			}
			s := stage(t, c, "k", 2, test.begin)
			if err := s.SetOptions(test.late); err != nil {
				t.Fatal(err)
			}
			if test.between != nil {
				test.between(c)
			}
			r, err := s.Commit(2)
			if err != nil || r.Stored != test.stored || (r.Replaced != nil) != test.replaced {
				t.Fatalf("Commit = %+v, %v; want stored %v, replaced %v", r, err, test.stored, test.replaced)
			}
			if r.Replaced != nil {
				r.Replaced.Release()
			}
			if n := l.count(s.Version()); (n == 0) != test.stored || n > 1 {
				t.Errorf("freed %d times, stored %v", n, test.stored)
			}
			if i, _ := c.Stat("k"); !i.Expires.Equal(test.expires) {
				t.Errorf("expires %v, want %v", i.Expires, test.expires)
			}
		})
	}
}

func TestSetOptionsRefuses(t *testing.T) {
	c := newCatalog(t, Config{})
	s := stage(t, c, "k", 1, object.PutOptions{Condition: object.IfAbsent})
	if err := s.SetOptions(object.PutOptions{Condition: 3}); !errors.Is(err, wire.ErrRequest) {
		t.Errorf("unknown condition: %v", err)
	}
	put(t, c, "k", 1, object.PutOptions{})
	if r, err := s.Commit(1); err != nil || r.Stored {
		t.Errorf("Commit by the first options: %+v, %v; want it refused", r, err)
	}
	if err := s.SetOptions(object.PutOptions{}); err != nil {
		t.Errorf("SetOptions after Commit: %v", err)
	}
	if _, err := s.Commit(1); !errors.Is(err, wire.ErrRequest) {
		t.Errorf("Commit again: %v", err)
	}
}
