package catalog

import (
	"errors"
	"testing"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/wire"
)

// Of a sealed version applications see the size that they stored, and records and
// the journal the size that is stored, with the seal.
func TestSealedVersions(t *testing.T) {
	p := newPaper()
	c := newCatalog(t, Config{Epoch: 3, Journal: p})
	want := wire.Seal{Key: [8]byte{1}, Salt: [16]byte{2}}
	stage := func(size int64) *Staged {
		s, err := c.Begin("k", object.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.SetSeal(want)
		if err := s.SetPlan(object.Shape{Data: 1}, stripeSize); err != nil {
			t.Fatal(err)
		}
		if err := s.Place(0, []Place{{Node: 0, Instance: 1}}); err != nil {
			t.Fatal(err)
		}
		if r := s.Record(); r.Seal != want {
			t.Errorf("the staged record has seal %x", r.Seal)
		}
		return s
	}
	s := stage(0)
	if _, err := s.Commit(seal.Overhead - 1); !errors.Is(err, wire.ErrRequest) {
		t.Errorf("Commit of a size that no sealed form has: %v", err)
	}
	s.Abort()
	res, err := stage(0).Commit(seal.Sealed(40))
	if err != nil || res.Info.Size != 40 {
		t.Fatalf("Commit = %+v, %v", res, err)
	}
	if i, err := c.Stat("k"); err != nil || i.Size != 40 {
		t.Errorf("Stat = %+v, %v", i, err)
	}
	if r, err := c.Describe("k"); err != nil || r.Size != seal.Sealed(40) || r.Seal != want || c.Bytes() != r.Size {
		t.Errorf("Describe = %+v, %v; %d bytes are stored", r, err, c.Bytes())
	}
	if _, err := c.Describe("none"); wire.CauseOf(err) != wire.CauseNeverStored {
		t.Errorf("Describe of none: %v", err)
	}
	pin, err := c.Open("k")
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Release()
	if pin.Record().Seal != want || pin.Info().Size != 40 {
		t.Errorf("pinned %+v, %+v", pin.Record(), pin.Info())
	}

	again := newCatalog(t, Config{Epoch: 4})
	if err := again.Restore(pin.Record(), pin.Places(0, nil)); err != nil {
		t.Fatal(err)
	}
	if r, err := again.Describe("k"); err != nil || r.Seal != want {
		t.Errorf("restored %+v, %v", r, err)
	}
}
