package trace

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Content returns the contents of the object of that name and size in bytes, to
// be read in order or at any offset, several goroutines at once through ReadAt.
// Contents of the same name agree in every byte that both sizes have; those of
// different names differ as random bytes do. It panics if size is negative.
func Content(name string, size int64) *io.SectionReader {
	if size < 0 {
		panic(fmt.Sprintf("trace: size %d of %q is negative", size, name))
	}
	return io.NewSectionReader(newKeystream(name), 0, size)
}

// keystream is an endless source of bytes: AES in counter mode under a key made
// from the object's name. The counter is the number of the 16-byte block, so
// every offset is reached at once.
type keystream struct{ block cipher.Block }

func newKeystream(name string) keystream {
	key := sha256.Sum256([]byte(name))
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		panic(err) // only for a key of the wrong length
	}
	return keystream{block}
}

// ReadAt fills p with the bytes from offset off on.
func (k keystream) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read content: offset is negative")
	}
	var counter, skipped [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], uint64(off)/aes.BlockSize)
	stream := cipher.NewCTR(k.block, counter[:])
	if skip := off % aes.BlockSize; skip > 0 {
		stream.XORKeyStream(skipped[:skip], skipped[:skip])
	}
	clear(p)
	stream.XORKeyStream(p, p)
	return len(p), nil
}
