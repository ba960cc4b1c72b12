package trace

import (
	"bytes"
	"fmt"
)

// verifyPage is how many expected bytes are made at a time; small enough to
// stay in the processor's nearest cache.
const verifyPage = 16 << 10

// WrongContent says how received contents first differ from Content.
type WrongContent struct {
	Name   string
	Size   int64 // bytes that the object has
	Offset int64 // of the first byte that is wrong, surplus or missing
	// Got and Want are that byte; meaningless unless Offset lies inside both
	// the object and what was received.
	Got, Want byte
	Received  int64 // bytes that were received
}

func (e *WrongContent) Error() string {
	switch {
	case e.Offset >= e.Size:
		return fmt.Sprintf("content of %q: %d bytes, want %d", e.Name, e.Received, e.Size)
	case e.Offset >= e.Received:
		return fmt.Sprintf("content of %q: ends after %d bytes, want %d", e.Name, e.Received, e.Size)
	}
	return fmt.Sprintf("content of %q: byte %d is %#02x, want %#02x", e.Name, e.Offset, e.Got, e.Want)
}

// Verifier compares what is written to it with an object's contents. It takes
// everything that is written, so that all wrong bytes are counted, and reports
// the first one at Close. It is for one goroutine.
type Verifier struct {
	name     string
	size     int64
	want     keystream
	received int64
	wrong    int64
	first    *WrongContent // nil while every byte was right
	page     []byte        // scratch
}

// NewVerifier returns a Verifier for Content(name, size).
func NewVerifier(name string, size int64) *Verifier {
	return &Verifier{name: name, size: size, want: newKeystream(name), page: make([]byte, verifyPage)}
}

// Write compares p with the contents that follow what was written before. It
// returns len(p) and no error, whatever p holds, and keeps nothing of p.
func (v *Verifier) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(int64(len(rest)), verifyPage)
		if left := v.size - v.received; left <= 0 {
			v.wrong += n
			v.note(v.received, 0, 0)
		} else {
			n = min(n, left)
			want := v.page[:n]
			v.want.ReadAt(want, v.received) // never fails: the offset is not negative
			if got := rest[:n]; !bytes.Equal(got, want) {
				v.compare(got, want)
			}
		}
		v.received += n
		rest = rest[n:]
	}
	return len(p), nil
}

func (v *Verifier) compare(got, want []byte) {
	for i := range got {
		if got[i] != want[i] {
			v.wrong++
			v.note(v.received+int64(i), got[i], want[i])
		}
	}
}

func (v *Verifier) note(offset int64, got, want byte) {
	if v.first == nil {
		v.first = &WrongContent{Name: v.name, Size: v.size, Offset: offset, Got: got, Want: want}
	}
}

// Received returns how many bytes were written.
func (v *Verifier) Received() int64 { return v.received }

// Wrong returns how many of the bytes written were wrong or beyond the end.
func (v *Verifier) Wrong() int64 { return v.wrong }

// Close returns a *WrongContent if a byte was wrong, surplus or missing, and
// nil if the contents were exactly right.
func (v *Verifier) Close() error {
	if v.first == nil && v.received < v.size {
		v.note(v.received, 0, 0)
	}
	if v.first == nil {
		return nil
	}
	wrong := *v.first
	wrong.Received = v.received
	return &wrong
}
