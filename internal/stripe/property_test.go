package stripe

import (
	"bytes"
	"math/bits"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// With at most p chunks of each stripe failing, in whatever way, the bytes are
// right; with more the read fails, and what it gave is right as far as it goes.
func TestReadProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d, p := rapid.IntRange(1, 6).Draw(rt, "d"), rapid.IntRange(0, 3).Draw(rt, "p")
		stripe := int64(rapid.IntRange(1, 5*block).Draw(rt, "stripe"))
		size := rapid.IntRange(1, int(3*stripe)).Draw(rt, "size")
		s := store(t, randomBytes(size), object.Shape{Data: d, Parity: p}, stripe)
		src := &fakeSource{stored: s, faults: map[wire.Place]fault{}, inline: rapid.Bool().Draw(rt, "inline")}
		tooMany := -1 // the first stripe that cannot be read
		for i := range s.stripes {
			bad := rapid.Uint64Range(0, 1<<(d+p)-1).Draw(rt, "bad")
			if rapid.IntRange(0, 3).Draw(rt, "mild") > 0 {
				for bits.OnesCount64(bad) > p {
					bad &= bad - 1
				}
			}
			failing := 0
			for c := range d + p {
				if bad&(1<<c) == 0 {
					continue
				}
				f := fault{at: uint32(rapid.IntRange(0, 1).Draw(rt, "at"))}
				switch rapid.IntRange(0, 5).Draw(rt, "fault") {
				case 0:
					f.err = wire.ErrNotHeld
				case 1:
					f.flip = true
				case 2:
					f.swap = d > 1 // the copies of 1+p differ in identity only
					f.flip = d == 1
				case 3:
					f.early = true
				case 4:
					f.skip = true
				case 5:
					f.err = wire.ErrClosed
					if !src.inline {
						f.abandon = 2 * time.Second
					}
				}
				if blocks := len(s.sums[i][c]); int(f.at) >= blocks {
					f.at = 0
				}
				src.faults[wire.Place{Stripe: uint32(i), Chunk: uint16(c)}] = f
				if len(s.sums[i][c]) > 0 {
					failing++
				}
			}
			if failing > p && tooMany < 0 {
				tooMany = i
			}
		}
		opts := ReaderOptions{Policy: Policy(rapid.IntRange(0, 1).Draw(rt, "policy")),
			Ready: rapid.Uint64().Draw(rt, "ready"), Gone: rapid.Uint64().Draw(rt, "gone"),
			Buffers: NewBuffers(int64(rapid.IntRange(0, 1<<21).Draw(rt, "limit")))}
		off := int64(rapid.IntRange(0, size-1).Draw(rt, "off"))
		n := int64(rapid.IntRange(1, size).Draw(rt, "n"))
		whole := rapid.Bool().Draw(rt, "whole")
		if whole {
			off, n = 0, int64(size)
		}
		want := s.object[off:min(off+n, int64(size))]

		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			_, err := NewReader(src, s.rec, opts).WriteRange(t.Context(), &out, off, n)
			check(rt, "WriteRange", out.Bytes(), want, err, tooMany, whole)
			dst := make([]byte, len(want))
			k, err := NewReader(src, s.rec, opts).ReadInto(t.Context(), dst, off)
			check(rt, "ReadInto", dst[:k], want, err, tooMany, whole)
			src.wg.Wait()
		})
		if n := opts.Buffers.InUse(); n != 0 {
			rt.Errorf("%d bytes in use", n)
		}
	})
}

func check(rt *rapid.T, what string, got, want []byte, err error, tooMany int, whole bool) {
	if !bytes.HasPrefix(want, got) {
		rt.Errorf("%s: wrong bytes, error %v", what, err)
	}
	switch {
	case err == nil && len(got) != len(want):
		rt.Errorf("%s: %d bytes without an error, want %d", what, len(got), len(want))
	case err != nil && tooMany < 0:
		rt.Errorf("%s: %v, although no stripe lost more than p", what, err)
	case err == nil && tooMany >= 0 && whole:
		rt.Errorf("%s: no error, although stripe %d lost more than p", what, tooMany)
	}
}
