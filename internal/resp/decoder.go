package resp

import (
	"bufio"
	"errors"
	"io"
)

// Source is where a [Decoder] reads; a *bufio.Reader is one. Its buffer bounds
// the length of a line, and so of an inline command.
type Source interface {
	io.Reader
	// ReadSlice and Peek return slices that are valid until the next call.
	ReadSlice(delim byte) ([]byte, error)
	Peek(n int) ([]byte, error)
	Discard(n int) (int, error)
}

// Decoder reads commands from a [Source], piece by piece:
//
//	n := Next()              the number of arguments
//	n times: size := Arg()   the length of the next argument, then its body by
//	                         Read, Append or Discard
//
// The next piece may be asked for only when the one before is read to its end.
// An error other than [ErrTooLong] is final: every later call returns it too.
// io.EOF means that the input ended between two commands, and
// io.ErrUnexpectedEOF that it ended inside one.
//
// A Decoder keeps nothing of a body; it allocates only for the words of inline
// commands, which the Source's buffer bounds.
type Decoder struct {
	src  Source
	err  error
	args int   // arguments whose header is still to come
	left int64 // bytes of the current body still to come

	isInline bool
	inline   inline
	word     []byte // rest of the current inline argument
}

// NewDecoder returns a Decoder at the start of a command.
func NewDecoder(src Source) *Decoder {
	return &Decoder{src: src}
}

// Args returns how many arguments of the command have still to be asked for.
func (d *Decoder) Args() int { return d.args }

// Left returns how many bytes of the current argument are still unread. At 0
// its line end has been read too.
func (d *Decoder) Left() int64 { return d.left }

// Err returns the error that ended the Decoder, or nil.
func (d *Decoder) Err() error { return d.err }

// Next reads the start of a command and returns the number of its arguments,
// the command's name included. 0 is an empty line or an empty array, which
// Redis ignores.
func (d *Decoder) Next() (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	line, err := d.src.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) == 0:
		d.err = io.EOF
		return 0, d.err
	case errors.Is(err, bufio.ErrBufferFull) && line[0] == '*':
		return 0, d.refuse("too big mbulk count string")
	case errors.Is(err, bufio.ErrBufferFull):
		return 0, d.refuse("too big inline request")
	case err != nil:
		return 0, d.fail(err)
	}
	if d.isInline = line[0] != '*'; d.isInline {
		if err := d.inline.split(line); err != nil {
			return 0, d.fail(err)
		}
		d.args = len(d.inline.words)
		return d.args, nil
	}
	n, ok := header(line)
	if !ok || n < 0 || n > MaxArgs {
		return 0, d.refuse("invalid multibulk length")
	}
	d.args = int(n)
	return d.args, nil
}

// Arg reads the header of the next argument and returns its length in bytes.
// Nothing is allocated for it, whatever it says.
func (d *Decoder) Arg() (int64, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.isInline {
		d.word = d.inline.words[len(d.inline.words)-d.args]
		d.args--
		d.left = int64(len(d.word))
		return d.left, nil
	}
	line, err := d.src.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return 0, d.refuse("too big bulk count string")
	case err != nil:
		return 0, d.fail(err)
	case line[0] != '$':
		return 0, d.refuse("expected '$', got '" + printable(line[0]) + "'")
	}
	n, ok := header(line)
	if !ok || n < 0 {
		return 0, d.refuse("invalid bulk length")
	}
	d.args--
	d.left = n
	if n == 0 {
		return 0, d.lineEnd()
	}
	return n, nil
}

// Read reads from the body of the current argument; io.EOF is its end. The last
// bytes are handed out only after the line end behind them was found right, so
// a reader that has a whole body has a well-formed one.
func (d *Decoder) Read(p []byte) (int, error) {
	switch {
	case d.err != nil:
		return 0, d.err
	case d.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	if int64(len(p)) > d.left {
		p = p[:d.left]
	}
	if d.isInline {
		n := copy(p, d.word)
		d.word = d.word[n:]
		d.left -= int64(n)
		return n, nil
	}
	n, err := d.src.Read(p)
	d.left -= int64(n)
	if d.left == 0 {
		if err := d.lineEnd(); err != nil {
			return 0, err
		}
		return n, nil
	}
	if err != nil {
		return n, d.fail(err)
	}
	return n, nil
}

// Append appends what is unread of the current argument to dst. If that is more
// than limit bytes it reads nothing and returns [ErrTooLong].
func (d *Decoder) Append(dst []byte, limit int64) ([]byte, error) {
	if d.err != nil {
		return dst, d.err
	}
	if d.left > limit {
		return dst, ErrTooLong
	}
	start := len(dst)
	n := int(d.left)
	if cap(dst)-start < n {
		grown := make([]byte, start, max(start+n, min(2*cap(dst), start+int(limit))))
		copy(grown, dst)
		dst = grown
	}
	if _, err := io.ReadFull(d, dst[start:start+n]); err != nil {
		return dst, err
	}
	return dst[:start+n], nil
}

// Discard reads what is unread of the current argument and forgets it.
func (d *Decoder) Discard() error {
	if d.err != nil || d.left == 0 {
		return d.err
	}
	if d.isInline {
		d.word, d.left = nil, 0
		return nil
	}
	for d.left > 0 {
		n, err := d.src.Discard(int(min(d.left, 1<<30)))
		d.left -= int64(n)
		if err != nil {
			return d.fail(err)
		}
	}
	return d.lineEnd()
}

// lineEnd reads the line end behind a body.
func (d *Decoder) lineEnd() error {
	b, err := d.src.Peek(2)
	if err != nil {
		return d.fail(err)
	}
	if b[0] != '\r' || b[1] != '\n' {
		return d.refuse("expected a line end after an argument")
	}
	if _, err := d.src.Discard(2); err != nil {
		return d.fail(err)
	}
	return nil
}

func (d *Decoder) refuse(reason string) error {
	return d.fail(&ProtocolError{Reason: reason})
}

func (d *Decoder) fail(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	d.err = err
	return err
}

// header parses a whole line "xN\r\n".
func header(line []byte) (int64, bool) {
	if len(line) < 4 || line[len(line)-2] != '\r' {
		return 0, false
	}
	return ParseInt(line[1 : len(line)-2])
}

func printable(c byte) string {
	if c < ' ' || c > '~' {
		return "?"
	}
	return string(rune(c))
}
