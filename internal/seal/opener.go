package seal

import (
	"io"

	"github.com/infinicache/infinicache/internal/wire"
)

// Opener opens one sealed object. It is safe for concurrent use.
type Opener struct {
	box
	size     int64 // of the plaintext
	segments int64
}

// Open returns the Opener of an object that was sealed under a name, whose sealed
// form has so many bytes. Its error matches wire.ErrEncrypted if another key sealed
// the object, or there is none here, and wire.ErrProtocol if no sealed form has
// that size. Whether the object is genuine shows when its segments are opened.
func (k *Key) Open(s wire.Seal, name string, sealed int64) (*Opener, error) {
	if err := k.Fits(s); err != nil {
		return nil, err
	}
	size, ok := Plain(sealed)
	if !ok {
		return nil, wire.Errorf(wire.CodeProtocol, "a sealed object of %d bytes", sealed)
	}
	return &Opener{box: k.box(s, name), size: size, segments: segments(size)}, nil
}

// Fits is nil if k opens what has this seal, or it is the zero Seal. Otherwise it
// matches wire.ErrEncrypted.
func (k *Key) Fits(s wire.Seal) error {
	switch {
	case s == (wire.Seal{}):
		return nil
	case k == nil:
		return wire.Errorf(wire.CodeEncrypted, "no key is configured, it needs %x", s.Key)
	case k.id != s.Key:
		return wire.Errorf(wire.CodeEncrypted, "the key is %x, it needs %x", k.id, s.Key)
	default:
		return nil
	}
}

// Size is how many bytes the object has.
func (o *Opener) Size() int64 { return o.size }

// length is the bytes that a segment holds; the object has it.
func (o *Opener) length(segment int64) int {
	return int(min(o.size-segment*payload, payload))
}

// Covering is the part of the sealed form, n bytes from at on, that has to be read
// for length bytes of the object from off on, which it has. It is never empty: for
// no bytes it is a segment, by which an empty object can be told from a forgery.
func (o *Opener) Covering(off, length int64) (at, n int64) {
	first, last := o.span(off, length)
	end := min((last+1)*Segment, Sealed(o.size))
	return first * Segment, end - first*Segment
}

// span is the first and the last segment of a range.
func (o *Opener) span(off, length int64) (first, last int64) {
	first = min(off/payload, o.segments-1)
	return first, max(first, (off+length-1)/payload)
}

// Opening takes the sealed bytes that Covering says and passes on the range that
// they were read for. Bytes of a segment are passed on when all of it has come and
// is genuine.
type Opening struct {
	o    *Opener
	w    io.Writer
	dst  []byte // if w is nil: room for what is left
	next int64  // segment
	skip int    // bytes of it before the range
	left int64  // bytes of the range that are to come
	done int64  // and that were passed on

	part    []byte // of a segment, sealed
	scratch []byte // where segments are opened that dst has no room for
}

// To passes length bytes from off on, which the object has, on to w.
func (o *Opener) To(w io.Writer, off, length int64) *Opening {
	first, _ := o.span(off, length)
	return &Opening{o: o, w: w, next: first, skip: int(off - first*payload), left: length}
}

// Into opens the bytes from off on, which the object has, into dst. With an error
// the bytes of dst beyond those that Done counts have no meaning.
func (o *Opener) Into(dst []byte, off int64) *Opening {
	g := o.To(nil, off, int64(len(dst)))
	g.dst = dst
	return g
}

// Done is how many bytes were passed on.
func (g *Opening) Done() int64 { return g.done }

// Write implements io.Writer. Errors are those of the io.Writer, or match
// wire.ErrLost and wire.ErrCorrupt if a segment is not genuine.
func (g *Opening) Write(p []byte) (int, error) {
	taken := 0
	for taken < len(p) {
		if g.next == g.o.segments {
			return taken, wire.Errorf(wire.CodeInternal, "more sealed bytes than the object has")
		}
		whole := g.o.length(g.next) + Overhead
		segment := p[taken:]
		switch n := whole - len(g.part); {
		case len(segment) < n:
			g.keep(segment)
			return len(p), nil
		case len(g.part) > 0:
			g.keep(segment[:n])
			segment = g.part
			taken += n
		default:
			segment = segment[:n]
			taken += n
		}
		g.part = g.part[:0]
		if err := g.open(segment); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// keep adds to the part of a segment that has come.
func (g *Opening) keep(p []byte) {
	if g.part == nil {
		g.part = g.memory()
	}
	g.part = append(g.part, p...)
}

// memory has room for any segment of the object.
func (g *Opening) memory() []byte {
	return make([]byte, 0, min(g.o.size+Overhead, Segment))
}

// open opens the next segment and passes on what is wanted of it.
func (g *Opening) open(sealed []byte) error {
	segment, n := g.next, g.o.length(g.next)
	into := g.scratch
	direct := g.w == nil && g.skip == 0 && g.left >= int64(n)
	switch {
	case direct:
		into = g.dst[:n:n]
	case into == nil:
		g.scratch = g.memory()
		into = g.scratch
	}
	plain, err := g.o.box.open(into, sealed, segment, segment == g.o.segments-1)
	if err != nil {
		return err
	}
	g.next++
	wanted := plain[g.skip:]
	wanted = wanted[:min(int64(len(wanted)), g.left)]
	g.skip = 0
	n = len(wanted)
	switch {
	case g.w != nil && n > 0:
		n, err = g.w.Write(wanted)
		n = min(max(n, 0), len(wanted))
		if err == nil && n < len(wanted) {
			err = io.ErrShortWrite
		}
	case g.w == nil:
		if !direct {
			copy(g.dst, wanted)
		}
		g.dst = g.dst[n:]
	}
	g.left -= int64(n)
	g.done += int64(n)
	return err
}
