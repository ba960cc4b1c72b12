package seal

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/infinicache/infinicache/internal/wire"
)

func testKey(t testing.TB, b byte) *Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{b}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	rand.NewChaCha8(key).Read(b)
	return b
}

// sealed is the sealed form of a body under the name "k".
func sealed(t testing.TB, k *Key, body []byte) (wire.Seal, []byte) {
	t.Helper()
	s := k.SealBytes("k", body)
	b, err := io.ReadAll(s)
	if err != nil || int64(len(b)) != s.Size() {
		t.Fatalf("%d sealed bytes of %d, %v; want %d", len(b), len(body), err, s.Size())
	}
	return s.Seal(), b
}

func opener(t testing.TB, k *Key, s wire.Seal, n int) *Opener {
	t.Helper()
	o, err := k.Open(s, "k", int64(n))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// pieces writes b in parts of any size. It returns the first error.
func pieces(w io.Writer, b []byte, rng *rand.Rand) error {
	for len(b) > 0 {
		n := 1 + rng.IntN(len(b))
		if rng.IntN(2) == 0 {
			n = min(n, 1+rng.IntN(2*Segment))
		}
		if k, err := w.Write(b[:n]); err != nil || k != n {
			return errors.Join(err, errors.New("stopped"))
		}
		b = b[n:]
	}
	return nil
}

// drip is a body that comes in parts of any size, some of them empty.
type drip struct {
	rest []byte
	rng  *rand.Rand
}

func (d *drip) Read(p []byte) (int, error) {
	n := copy(p[:d.rng.IntN(len(p)+1)], d.rest)
	d.rest = d.rest[n:]
	if len(d.rest) == 0 && d.rng.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// sizes are those at which something changes.
var sizes = []uint32{0, 1, 100, payload - 1, payload, payload + 1, 2*payload - 1, 2 * payload, 2*payload + 1, 3*payload + 77}

const largest = 4 * Segment // that a fuzz target tries

// However a body comes, however its sealed form is read and written: what is
// opened is the body.
func FuzzSplits(f *testing.F) {
	for i, n := range sizes {
		f.Add(uint64(i), n, i%2 == 0)
	}
	k := testKey(f, 1)
	f.Fuzz(func(t *testing.T, seed uint64, n uint32, known bool) {
		rng := rand.New(rand.NewPCG(seed, 1))
		body := content(seed, int(n%largest))
		size := int64(-1)
		if known {
			size = int64(len(body))
		}
		s := k.Seal("k", &drip{body, rng}, size)
		var form []byte
		for {
			part := make([]byte, 1+rng.IntN(2*Segment))
			n, err := s.Read(part)
			form = append(form, part[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if int64(len(form)) != Sealed(int64(len(body))) {
			t.Fatalf("%d bytes make %d sealed ones, want %d", len(body), len(form), Sealed(int64(len(body))))
		}
		var got bytes.Buffer
		g := opener(t, k, s.Seal(), len(form)).To(&got, 0, int64(len(body)))
		if err := pieces(g, form, rng); err != nil || !bytes.Equal(got.Bytes(), body) || g.Done() != int64(len(body)) {
			t.Fatalf("%d bytes of %d came back, %d of them done: %v", got.Len(), len(body), g.Done(), err)
		}
	})
}

// One wrong byte is noticed before any byte of its segment is passed on.
func FuzzFlips(f *testing.F) {
	for i, n := range sizes {
		f.Add(uint64(i), n, n, uint8(1))
		f.Add(uint64(i), n, uint32(0), uint8(0x80))
	}
	k := testKey(f, 1)
	f.Fuzz(func(t *testing.T, seed uint64, n, at uint32, flip uint8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		body := content(seed, int(n%largest))
		s, form := sealed(t, k, body)
		if flip == 0 {
			return
		}
		where := int(at) % len(form)
		form[where] ^= flip
		before := where / Segment * payload // bytes of the segments before
		o := opener(t, k, s, len(form))
		var got bytes.Buffer
		into := make([]byte, len(body))
		for _, g := range []*Opening{o.To(&got, 0, int64(len(body))), o.Into(into, 0)} {
			err := pieces(g, form, rng)
			if !errors.Is(err, wire.ErrCorrupt) || !errors.Is(err, wire.ErrLost) || g.Done() != int64(before) {
				t.Fatalf("byte %d of %d is wrong: %d bytes passed on, want %d; error %v", where, len(form), g.Done(), before, err)
			}
		}
		if !bytes.Equal(got.Bytes(), body[:before]) || !bytes.Equal(into[:before], body[:before]) {
			t.Fatal("what came before the wrong byte is not the body")
		}
	})
}

// A range is that slice of the body, and needs its own segments only.
func FuzzRanges(f *testing.F) {
	for i, n := range sizes {
		f.Add(uint64(i), n, n/2, n/3)
		f.Add(uint64(i), n, uint32(payload), uint32(1))
	}
	k := testKey(f, 1)
	f.Fuzz(func(t *testing.T, seed uint64, n, off, length uint32) {
		rng := rand.New(rand.NewPCG(seed, 3))
		body := content(seed, int(n%largest))
		s, form := sealed(t, k, body)
		lo := int(off) % (len(body) + 1)
		hi := lo + int(length)%(len(body)-lo+1)
		o := opener(t, k, s, len(form))
		at, m := o.Covering(int64(lo), int64(hi-lo))
		if at < 0 || m < Overhead || at+m > int64(len(form)) || at%Segment != 0 {
			t.Fatalf("bytes %d to %d of %d need sealed bytes %d to %d of %d", lo, hi, len(body), at, at+m, len(form))
		}
		if most := int64(hi-lo) + 2*Segment; m > most {
			t.Fatalf("bytes %d to %d of %d need %d sealed ones, want %d at most", lo, hi, len(body), m, most)
		}
		var got bytes.Buffer
		into := make([]byte, hi-lo)
		for _, g := range []*Opening{o.To(&got, int64(lo), int64(hi-lo)), o.Into(into, int64(lo))} {
			if err := pieces(g, form[at:at+m], rng); err != nil || g.Done() != int64(hi-lo) {
				t.Fatalf("bytes %d to %d of %d: %d came, %v", lo, hi, len(body), g.Done(), err)
			}
		}
		if !bytes.Equal(got.Bytes(), body[lo:hi]) || !bytes.Equal(into, body[lo:hi]) {
			t.Fatalf("bytes %d to %d of %d are others", lo, hi, len(body))
		}
	})
}

// Sizes invert: every size has one sealed size, and what is none is refused.
func FuzzSizes(f *testing.F) {
	for _, n := range sizes {
		f.Add(int64(n))
	}
	f.Add(int64(wire.MaxObject))
	f.Add(int64(Segment + Overhead))
	f.Add(int64(-1))
	f.Fuzz(func(t *testing.T, n int64) {
		n %= wire.MaxObject + 1
		if n >= 0 {
			s := Sealed(n)
			if back, ok := Plain(s); !ok || back != n || Most(s) != n {
				t.Fatalf("Plain(Sealed(%d)) = %d, %v; Most %d", n, back, ok, Most(s))
			}
			if Sealed(n+1) <= s {
				t.Fatalf("%d bytes have %d sealed ones, %d have %d", n, s, n+1, Sealed(n+1))
			}
		}
		if plain, ok := Plain(n); ok && Sealed(plain) != n {
			t.Fatalf("Sealed(Plain(%d)) = %d", n, Sealed(plain))
		}
		if most := Most(n); most < 0 || n >= Overhead && (Sealed(most) > n || Sealed(most+1) <= n) {
			t.Fatalf("Most(%d) = %d", n, most)
		}
	})
}
