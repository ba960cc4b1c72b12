package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/infinicache/infinicache/internal/wire"
)

const (
	wantForm = "a33fc39611982fdc376cd4ab962578e191ac675378"
	wantID   = "d133575a24843d57"
)

// The sealed form is kept longer than a program runs, so that this must not
// change. The expected bytes are those of another implementation of the
// construction.
func TestFormIsAsDocumented(t *testing.T) {
	k := testKey(t, 1)
	s := wire.Seal{Key: k.id, Salt: [16]byte{2, 3}}
	form := k.box(s, "name").seal(nil, []byte("hello"), 5, true)
	if got := hex.EncodeToString(form); got != wantForm {
		t.Errorf("%s, want %s", got, wantForm)
	}
	if got := hex.EncodeToString(k.id[:]); got != wantID {
		t.Errorf("the key is called %s, want %s", got, wantID)
	}
}

func TestForgeriesDoNotOpen(t *testing.T) {
	k := testKey(t, 1)
	body := content(1, 3*payload)
	s, form := sealed(t, k, body)
	other, old := sealed(t, k, body)
	swapped := bytes.Clone(form)
	copy(swapped, form[Segment:2*Segment])
	copy(swapped[Segment:], form[:Segment])
	for _, tt := range []struct {
		name string
		seal wire.Seal
		key  string
		form []byte
	}{
		{"another name", s, "l", form},
		{"an older version", s, "k", old},
		{"another seal", other, "k", form},
		{"segments in another order", s, "k", swapped},
		{"cut between segments", s, "k", form[:2*Segment]},
		{"cut within a segment", s, "k", form[:2*Segment+100]},
		{"only the tag of the last", s, "k", form[len(form)-Overhead:]},
		{"the first segment alone", s, "k", form[:Segment]},
		{"a segment twice", s, "k", append(bytes.Clone(form), form[2*Segment:]...)},
		{"zeros", s, "k", make([]byte, len(form))},
	} {
		o, err := k.Open(tt.seal, tt.key, int64(len(tt.form)))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got bytes.Buffer
		_, err = o.To(&got, 0, o.Size()).Write(tt.form)
		if !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("%s: %v, want %v", tt.name, err, wire.ErrCorrupt)
		}
		if !bytes.HasPrefix(body, got.Bytes()) {
			t.Errorf("%s: %d wrong bytes were passed on", tt.name, got.Len())
		}
	}
}

// An object is never taken for empty without proof.
func TestEmptyObjectsAreProven(t *testing.T) {
	k := testKey(t, 1)
	s, form := sealed(t, k, nil)
	o := opener(t, k, s, len(form))
	at, n := o.Covering(0, 0)
	if at != 0 || n != Overhead || len(form) != Overhead {
		t.Fatalf("an empty object needs %d bytes from %d on, of %d", n, at, len(form))
	}
	if _, err := o.Into(nil, 0).Write(form); err != nil {
		t.Error(err)
	}
	if _, err := o.Into(nil, 0).Write(make([]byte, Overhead)); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("a forged one: %v", err)
	}
}

func TestKeysThatDoNotFit(t *testing.T) {
	k := testKey(t, 1)
	s, form := sealed(t, k, content(1, 100))
	n := int64(len(form))
	for _, tt := range []struct {
		name string
		key  *Key
		size int64
		want error
		text string
	}{
		{"none", nil, n, wire.ErrEncrypted, "no key is configured"},
		{"another", testKey(t, 2), n, wire.ErrEncrypted, "it needs"},
		{"an impossible size", k, Segment + Overhead, wire.ErrProtocol, "65552 bytes"},
		{"no size", k, 0, wire.ErrProtocol, "0 bytes"},
	} {
		_, err := tt.key.Open(s, "k", tt.size)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v with %q", tt.name, err, tt.want, tt.text)
		}
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := NewKey(make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes", n)
		}
	}
}

// Bodies that fail give their error, and nothing that would open.
func TestBodiesThatFail(t *testing.T) {
	k := testKey(t, 1)
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		body io.Reader
		size int64
		want error
	}{
		{"short", bytes.NewReader(make([]byte, payload+5)), payload + 6, wire.ErrShort},
		{"short by a segment", bytes.NewReader(make([]byte, payload)), payload + 1, wire.ErrShort},
		{"empty", bytes.NewReader(nil), 1, wire.ErrShort},
		{"broken", io.MultiReader(bytes.NewReader(make([]byte, 100)), iotest.ErrReader(broken)), 200, broken},
		{"broken, of unknown size", io.MultiReader(bytes.NewReader(make([]byte, payload)), iotest.ErrReader(broken)), -1, broken},
		{"cut off, of unknown size", io.MultiReader(bytes.NewReader(make([]byte, 9)), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, io.ErrUnexpectedEOF},
		{"silent", silent{}, -1, io.ErrNoProgress},
	} {
		s := k.Seal("k", tt.body, tt.size)
		form, err := io.ReadAll(s)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if _, again := s.Read(make([]byte, 1)); !errors.Is(again, tt.want) {
			t.Errorf("%s: then %v", tt.name, again)
		}
		if size, ok := Plain(int64(len(form))); ok {
			g := opener(t, k, s.Seal(), len(form)).To(io.Discard, 0, size)
			if _, err := g.Write(form); err == nil {
				t.Errorf("%s: what was sealed before the error opens as %d bytes", tt.name, size)
			}
		}
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

// What lies behind a body of known size belongs to somebody else.
func TestBodiesAreNotReadFurther(t *testing.T) {
	k := testKey(t, 1)
	for _, n := range []int64{0, 1, payload, payload + 1} {
		r := bytes.NewReader(make([]byte, n+10))
		if _, err := io.ReadAll(k.Seal("k", r, n)); err != nil || r.Len() != 10 {
			t.Errorf("size %d: %d bytes of 10 behind it are left, %v", n, r.Len(), err)
		}
	}
}

func TestWritersThatFail(t *testing.T) {
	k := testKey(t, 1)
	s, form := sealed(t, k, content(1, 2*payload))
	o := opener(t, k, s, len(form))
	broken := errors.New("broken")
	for _, tt := range []struct {
		w    io.Writer
		want error
	}{
		{writer(func(p []byte) (int, error) { return 7, broken }), broken},
		{writer(func(p []byte) (int, error) { return 7, nil }), io.ErrShortWrite},
	} {
		g := o.To(tt.w, 0, o.Size())
		if _, err := g.Write(form); !errors.Is(err, tt.want) || g.Done() != 7 {
			t.Errorf("%v, %d bytes done, want %v and 7", err, g.Done(), tt.want)
		}
	}
	if _, err := o.To(io.Discard, 0, o.Size()).Write(append(form, 0)); err == nil {
		t.Error("a byte behind the object was taken")
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// Two objects never have the same key: not those of one body and name, either.
func TestSealsDiffer(t *testing.T) {
	k := testKey(t, 1)
	a, one := sealed(t, k, make([]byte, 100))
	b, two := sealed(t, k, make([]byte, 100))
	if a == b || a.Key != b.Key || bytes.Equal(one, two) {
		t.Errorf("%x and %x", a, b)
	}
}

func BenchmarkSeal(b *testing.B) {
	k := testKey(b, 1)
	body, form := make([]byte, 10<<20), make([]byte, Sealed(10<<20))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		s := k.SealBytes("k", body)
		for n := 0; n < len(form); {
			m, err := s.Read(form[n:])
			if n += m; err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := testKey(b, 1)
	s, form := sealed(b, k, make([]byte, 10<<20))
	o, dst := opener(b, k, s, len(form)), make([]byte, 10<<20)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Into(dst, 0).Write(form); err != nil {
			b.Fatal(err)
		}
	}
}
