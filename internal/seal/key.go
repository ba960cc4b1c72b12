// Package seal encrypts objects for those who keep them: nodes, which are
// functions on somebody else's machines, hold the sealed form, and can neither
// read it nor make another that opens.
//
// The sealed form is a row of segments of 64 KiB, the last of which may be
// shorter: the ciphertext of up to 65,520 bytes and its tag of 16, by AES-256-GCM.
// There is always a last segment, so that an empty object has one of a tag alone.
// The key of an object comes from the Key, the salt in its wire.Seal and its name,
// by HKDF-SHA-256; the nonce of a segment is its number and whether it is the
// last. So a segment opens only in its own place, of its own version, under its
// own name, and an object that was cut short does not open at its end. This is the
// STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár (CRYPTO 2015).
//
// Nothing but the Key and the Seal is needed to open a segment: the Seal is kept
// with the object's record, where nodes cannot change it, and not in its bytes.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/infinicache/infinicache/internal/wire"
)

// KeySize is the bytes of a key.
const KeySize = 32

// Key seals objects and opens those that it sealed. It is safe for concurrent
// use. A nil Key opens nothing.
type Key struct {
	secret [KeySize]byte
	id     [8]byte // public; it tells keys apart
}

// NewKey makes a Key of KeySize secret bytes, which it copies.
func NewKey(secret []byte) (*Key, error) {
	if len(secret) != KeySize {
		return nil, fmt.Errorf("a key of %d bytes, want %d", len(secret), KeySize)
	}
	k := &Key{secret: [KeySize]byte(secret)}
	copy(k.id[:], k.derive(nil, "infinicache key name", len(k.id)))
	return k, nil
}

// derive makes n bytes that tell nothing of the secret and are for one purpose.
func (k *Key) derive(salt []byte, purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, k.secret[:], salt, purpose, n)
	if err != nil {
		panic(err) // only for n beyond 8,160, or a secret too short for FIPS 140
	}
	return b
}

// newSeal makes the seal of a new object. Its salt is what keeps two objects from
// ever having the same key.
func (k *Key) newSeal() wire.Seal {
	s := wire.Seal{Key: k.id}
	rand.Read(s.Salt[:]) // never fails
	return s
}

// box is the cipher of one object.
type box struct{ aead cipher.AEAD }

func (k *Key) box(s wire.Seal, name string) box {
	block, err := aes.NewCipher(k.derive(s.Salt[:], "infinicache object "+name, KeySize))
	if err == nil {
		var b box
		if b.aead, err = cipher.NewGCM(block); err == nil {
			return b
		}
	}
	panic(err) // only for keys of another size
}

// nonce is that of a segment.
func nonce(segment int64, last bool) []byte {
	var n [12]byte
	binary.BigEndian.PutUint64(n[3:], uint64(segment))
	if last {
		n[11] = 1
	}
	return n[:]
}

// seal seals a segment's plaintext into dst, which may begin where plain does and
// otherwise does not overlap it.
func (b box) seal(dst, plain []byte, segment int64, last bool) []byte {
	return b.aead.Seal(dst[:0], nonce(segment, last), plain, nil)
}

// open opens a segment into dst, in the same way. Its error matches wire.ErrLost,
// as that of bytes which do not come back, and wire.ErrCorrupt.
func (b box) open(dst, sealed []byte, segment int64, last bool) ([]byte, error) {
	plain, err := b.aead.Open(dst[:0], nonce(segment, last), sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: segment %d is not what was sealed", wire.ErrLost, wire.ErrCorrupt, segment)
	}
	return plain, nil
}
