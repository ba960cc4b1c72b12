package stripe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/wire"
)

func sealKey(tb testing.TB, b byte) *seal.Key {
	tb.Helper()
	k, err := seal.NewKey(bytes.Repeat([]byte{b}, seal.KeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// storeSealed is store of the sealed form of an object.
func storeSealed(tb testing.TB, k *seal.Key, body []byte, shape object.Shape, stripe int64) *stored {
	tb.Helper()
	sealer := k.SealBytes("k", body)
	form, err := io.ReadAll(sealer)
	if err != nil {
		tb.Fatal(err)
	}
	s := store(tb, form, shape, stripe)
	s.rec.Seal = sealer.Seal()
	return s
}

func TestSealedVersionsReadAsTheyWere(t *testing.T) {
	k := sealKey(t, 1)
	const segment = seal.Segment - seal.Overhead
	for _, stripe := range []int64{testStripe, 4 * block} {
		for _, size := range []int{0, 1, segment - 1, segment, segment + 1, 5 * segment, 2*testStripe + 11} {
			t.Run(fmt.Sprint(stripe, "/", size), func(t *testing.T) {
				body := randomBytes(size)
				s := storeSealed(t, k, body, object.Shape{Data: 4, Parity: 2}, stripe)
				src := &fakeSource{stored: s, inline: true, every: map[uint16]fault{1: {err: wire.ErrNotHeld}, 3: {flip: true}}}
				bufs := NewBuffers(8 << 20)
				r := NewReader(src, s.rec, ReaderOptions{Key: k, Buffers: bufs})
				if i := r.Info(); i.Size != int64(size) {
					t.Errorf("the size is %d, want %d", i.Size, size)
				}
				for _, off := range []int64{0, 1, segment - 1, segment, int64(size) / 2, int64(size) - 1, int64(size), int64(size) + 100} {
					for _, n := range []int64{-1, 0, 1, segment, segment + 2} {
						off := max(off, 0)
						checkRange(t, r, body, off, min(n, max(int64(size)-off, 0)+16))
					}
				}
				if n := bufs.InUse(); n != 0 {
					t.Errorf("%d bytes in use after the reads", n)
				}
				form := NewReader(src, s.rec, ReaderOptions{Stored: true, Buffers: bufs})
				checkRange(t, form, s.object, 0, -1)
			})
		}
	}
}

// Segments of a large object lie within blocks: a range needs no more blocks than
// its plaintext would.
func TestSealedRangeReadsOnlyItsBlocks(t *testing.T) {
	k := sealKey(t, 1)
	const segment = seal.Segment - seal.Overhead
	s := storeSealed(t, k, randomBytes(60*segment), object.Shape{Data: 4, Parity: 2}, 16*block)
	src := &fakeSource{stored: s, inline: true}
	r := NewReader(src, s.rec, ReaderOptions{Key: k})
	if _, err := r.WriteRange(t.Context(), io.Discard, 40*segment, 2*segment); err != nil {
		t.Fatal(err)
	}
	if src.blocks != 1 {
		t.Errorf("%d blocks were read for two segments of one", src.blocks)
	}
}

// What a liar sends passes every checksum, which anybody can make. Not one byte of
// it comes out.
func TestForgedBlocksDoNotPass(t *testing.T) {
	k := sealKey(t, 1)
	const segment = seal.Segment - seal.Overhead
	for _, size := range []int{0, 100, 3 * segment} {
		body := randomBytes(size)
		s := storeSealed(t, k, body, object.Shape{Data: 1}, 16*block)
		chunk := s.stripes[0][0]
		at := len(chunk) - 1
		chunk[at] ^= 1
		s.sums[0][0][0] = wire.Checksum(s.rec.Version, 0, 0, 0, chunk)
		var out bytes.Buffer
		r := NewReader(&fakeSource{stored: s, inline: true}, s.rec, ReaderOptions{Key: k})
		n, err := r.WriteRange(t.Context(), &out, 0, -1)
		genuine := max(size-1, 0) / segment * segment
		if !errors.Is(err, wire.ErrCorrupt) || wire.CodeOf(err) != wire.CodeLost || int(n) != genuine || !bytes.Equal(out.Bytes(), body[:genuine]) {
			t.Errorf("size %d: %d bytes, want %d; error %v", size, n, genuine, err)
		}
		if n, err := r.ReadInto(t.Context(), make([]byte, size), 0); !errors.Is(err, wire.ErrCorrupt) || n != genuine {
			t.Errorf("size %d: %d bytes read, want %d; error %v", size, n, genuine, err)
		}
	}
}

func TestSealedVersionsNeedTheirKey(t *testing.T) {
	s := storeSealed(t, sealKey(t, 1), randomBytes(100), object.Shape{Data: 1}, block)
	for name, k := range map[string]*seal.Key{"none": nil, "another": sealKey(t, 2)} {
		r := NewReader(&fakeSource{stored: s, inline: true}, s.rec, ReaderOptions{Key: k})
		if n, err := r.WriteRange(t.Context(), io.Discard, 0, -1); !errors.Is(err, wire.ErrEncrypted) || n != 0 {
			t.Errorf("key %s: %d bytes, %v", name, n, err)
		}
		if i := r.Info(); i.Size != 100 {
			t.Errorf("key %s: the size is %d", name, i.Size)
		}
	}
	plain := store(t, randomBytes(100), object.Shape{Data: 1}, block)
	checkRange(t, NewReader(&fakeSource{stored: plain, inline: true}, plain.rec, ReaderOptions{Key: sealKey(t, 1)}), plain.object, 0, -1)
}
