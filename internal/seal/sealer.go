package seal

import (
	"io"

	"github.com/infinicache/infinicache/internal/wire"
)

// Sealer is an io.Reader of the sealed form of a body. A Read of Segment bytes or
// more, or of all that is left, seals in the memory that it is given; others go
// through memory of the Sealer's own. Each has a seal of its own, so that a second
// attempt to store an object needs a second Sealer, even of the same body.
type Sealer struct {
	box
	seal wire.Seal

	size int64     // of the body; -1 if that is not known
	body io.Reader // nil: rest is the body
	rest []byte

	segment int64 // the next
	got     int64 // bytes of body that were sealed
	ahead   []byte
	err     error // of the next segment; io.EOF after the last

	own   []byte // where segments are sealed for short Reads
	ready []byte // part of own: what was not given out yet
}

// Seal seals size bytes of body under a name, or all that it has for size -1. It
// reads no further than size; a body that ends early gives an error that matches
// wire.ErrShort.
func (k *Key) Seal(name string, body io.Reader, size int64) *Sealer {
	s := k.SealBytes(name, nil)
	s.body, s.size = body, max(size, -1)
	return s
}

// SealBytes seals bytes in memory, without a copy of them. They must not change
// until the last Read.
func (k *Key) SealBytes(name string, body []byte) *Sealer {
	s := &Sealer{seal: k.newSeal(), rest: body, size: int64(len(body))}
	s.box = k.box(s.seal, name)
	return s
}

// Seal is what the object's record must have.
func (s *Sealer) Seal() wire.Seal { return s.seal }

// Size is how many bytes there are to read in all; -1 if that is not known.
func (s *Sealer) Size() int64 {
	if s.size < 0 {
		return -1
	}
	return Sealed(s.size)
}

// Read implements io.Reader. An error of the body comes before any byte of the
// segment that it cut short.
func (s *Sealer) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.ready) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		need := s.room()
		if len(p) >= need {
			sealed, err := s.next(p[:need])
			return len(sealed), err
		}
		if s.own == nil {
			s.own = make([]byte, need)
		}
		var err error
		if s.ready, err = s.next(s.own[:need]); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// room is how much memory the next segment needs.
func (s *Sealer) room() int {
	if s.size < 0 {
		return Segment
	}
	return int(min(s.size-s.got, payload)) + Overhead
}

// next seals a segment in mem, which is as large as room says.
func (s *Sealer) next(mem []byte) ([]byte, error) {
	plain, last, err := s.take(mem)
	if err != nil {
		s.err = err
		return nil, err
	}
	sealed := s.box.seal(mem, plain, s.segment, last)
	s.segment++
	s.got += int64(len(plain))
	if last {
		s.err = io.EOF
	}
	return sealed, nil
}

// take returns the plaintext of the next segment, read into mem unless it is in
// memory already.
func (s *Sealer) take(mem []byte) (plain []byte, last bool, err error) {
	switch {
	case s.body == nil:
		plain, s.rest = s.rest[:len(mem)-Overhead], s.rest[len(mem)-Overhead:]
		return plain, len(s.rest) == 0, nil
	case s.size >= 0:
		want := len(mem) - Overhead
		n, _, err := fill(s.body, mem[:want])
		if err == nil && n < want {
			err = wire.Errorf(wire.CodeShort, "body ended after %d of %d bytes", s.got+int64(n), s.size)
		}
		return mem[:n], s.got+int64(n) == s.size, err
	default: // one byte more tells whether this is the last
		n := copy(mem, s.ahead)
		k, ended, err := fill(s.body, mem[n:payload+1])
		if n += k; n <= payload {
			return mem[:n], ended, err
		}
		s.ahead = append(s.ahead[:0], mem[payload])
		return mem[:payload], false, err
	}
}

// maxEmptyReads is how many reads in a row may give neither bytes nor an error.
const maxEmptyReads = 100

// fill reads until mem is full or the body has ended. It is not io.ReadFull, which
// gives the same error for the end of the body and for one that was cut off.
func fill(body io.Reader, mem []byte) (n int, ended bool, err error) {
	for empty := 0; n < len(mem); {
		k, err := body.Read(mem[n:])
		n += k
		if empty++; k > 0 {
			empty = 0
		}
		switch {
		case err == io.EOF:
			return n, true, nil
		case err != nil:
			return n, false, err
		case empty == maxEmptyReads:
			return n, false, io.ErrNoProgress
		}
	}
	return n, false, nil
}
