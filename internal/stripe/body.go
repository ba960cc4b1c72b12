package stripe

import (
	"fmt"
	"io"

	"github.com/infinicache/infinicache/internal/wire"
)

// body is where a write's bytes come from.
type body interface {
	// length is the number of bytes of the whole, -1 if that is not known.
	length() int64
	// room is how many bytes the next stripe of at most n may have; 0 at the end.
	room(n int64) int64
	// borrowed tells whether read returns memory of the body's owner; then it
	// gets no memory but the stripe's length, by the last room.
	borrowed() bool
	// read returns the bytes of the next stripe and whether more may follow. No
	// bytes mean the end.
	read(mem []byte) (data []byte, more bool, err error)
}

// sliceBody is a body in memory.
type sliceBody struct {
	rest []byte
	size int64
	next int64
}

func (s *sliceBody) length() int64  { return s.size }
func (s *sliceBody) borrowed() bool { return true }

func (s *sliceBody) room(n int64) int64 {
	s.next = min(n, int64(len(s.rest)))
	return s.next
}

func (s *sliceBody) read([]byte) ([]byte, bool, error) {
	data := s.rest[:s.next:s.next]
	s.rest = s.rest[s.next:]
	return data, len(s.rest) > 0, nil
}

// streamBody is a body that is read. size is -1 if it is not known.
type streamBody struct {
	r    io.Reader
	size int64
	got  int64
	eof  bool
}

func (s *streamBody) length() int64  { return s.size }
func (s *streamBody) borrowed() bool { return false }

func (s *streamBody) room(n int64) int64 {
	switch {
	case s.size >= 0:
		return min(n, s.size-s.got)
	case s.eof:
		return 0
	default:
		return n
	}
}

// maxEmptyReads is how many reads in a row may give neither bytes nor an error.
const maxEmptyReads = 100

// read does not use io.ReadFull, which gives the same error for the end of the
// body and for one that was cut off.
func (s *streamBody) read(mem []byte) ([]byte, bool, error) {
	n, empty := 0, 0
	for n < len(mem) && !s.eof {
		k, err := s.r.Read(mem[n:])
		n += k
		s.got += int64(k)
		if empty++; k > 0 {
			empty = 0
		}
		switch {
		case err == io.EOF:
			s.eof = true
		case err != nil:
			return nil, false, fmt.Errorf("read body: %w", err)
		case empty == maxEmptyReads:
			return nil, false, fmt.Errorf("read body: %w", io.ErrNoProgress)
		}
	}
	if s.size >= 0 && s.got < s.size && n < len(mem) {
		return nil, false, wire.Errorf(wire.CodeShort, "body ended after %d of %d bytes", s.got, s.size)
	}
	if s.size >= 0 {
		return mem[:n], s.got < s.size, nil
	}
	return mem[:n], !s.eof, nil
}
