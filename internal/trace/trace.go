// Package trace reads request traces and makes the contents of the objects that
// they name.
//
// A trace is text, plain or gzip-compressed: the header line
// "seconds,object,bytes,status" and then one request a line. Contents follow
// from an object's name alone, so a reader of the object can verify every byte
// without a copy to compare with.
package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"
)

const (
	// MaxLine is the longest line accepted, in bytes without its line end.
	MaxLine = 4096
	// MaxSize is the largest object accepted, in bytes.
	MaxSize = 1 << 50

	// maxSeconds keeps a request's time well inside a time.Duration.
	maxSeconds = 1 << 32

	header = "seconds,object,bytes,status"
)

// ErrMalformed is matched by every error about a trace's text; the error's own
// text begins with the line number, counted from 1.
var ErrMalformed = errors.New("malformed trace")

// Request is one line of a trace.
type Request struct {
	At     time.Duration // since the trace's midnight
	Object string        // never empty
	Size   int64         // bytes of the response, 0 to MaxSize
	Status int           // HTTP status of the response, 100 to 599
}

// Scaled returns the request with its size multiplied by factor and rounded. A
// size above 0 stays at least 1 and never passes MaxSize. It panics unless
// factor is finite and above 0.
func (r Request) Scaled(factor float64) Request {
	if !(factor > 0) || math.IsInf(factor, 1) {
		panic(fmt.Sprintf("trace: scale %v is not a number above 0", factor))
	}
	if r.Size > 0 {
		size := math.Round(float64(r.Size) * factor)
		r.Size = int64(min(max(size, 1), MaxSize))
	}
	return r
}

// Reader reads a trace one request at a time. It is for one goroutine.
type Reader struct {
	text *bufio.Reader
	file *os.File // nil unless Open opened it
	line int      // lines read so far
	err  error    // sticky, once Next failed
}

// Open opens the trace in a file. The caller closes it.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	r, err := NewReader(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open trace %s: %w", path, err)
	}
	r.file = file
	return r, nil
}

// NewReader reads the header from src, decompressing if src begins with gzip's
// magic bytes. It reads ahead of what Next has returned.
func NewReader(src io.Reader) (*Reader, error) {
	text := bufio.NewReaderSize(src, MaxLine+2)
	if magic, _ := text.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		plain, err := gzip.NewReader(text)
		if err != nil {
			return nil, fmt.Errorf("line 1: %w: %w", ErrMalformed, err)
		}
		text = bufio.NewReaderSize(plain, MaxLine+2)
	}
	r := &Reader{text: text}
	first, err := r.readLine()
	switch {
	case err == io.EOF:
		r.line = 1
		return nil, r.malformed("empty, want the header %q", header)
	case err != nil:
		return nil, err
	case string(first) != header:
		return nil, r.malformed("header %.80q, want %q", first, header)
	}
	return r, nil
}

// Next returns the next request, or io.EOF after the last one. Times need not
// rise from one request to the next. After an error it returns the same error
// again.
func (r *Reader) Next() (Request, error) {
	if r.err != nil {
		return Request{}, r.err
	}
	line, err := r.readLine()
	if err != nil {
		r.err = err
		return Request{}, err
	}
	req, err := r.parse(line)
	if err != nil {
		r.err = err
		return Request{}, err
	}
	return req, nil
}

// Line returns the number of the line that was read last, counted from 1.
func (r *Reader) Line() int { return r.line }

// Close closes the file that Open opened; after NewReader it does nothing.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// readLine returns the next line without its end, valid until the next call.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.text.ReadSlice('\n')
	if err == io.EOF && len(line) == 0 {
		return nil, io.EOF
	}
	r.line++
	switch {
	case err == nil:
		line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
	case err == io.EOF: // the last line may lack its end
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, r.malformed("longer than %d bytes", MaxLine)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.malformed("%w", err)
	default:
		return nil, fmt.Errorf("line %d: %w", r.line, err)
	}
	if len(line) > MaxLine {
		return nil, r.malformed("longer than %d bytes", MaxLine)
	}
	return line, nil
}

func (r *Reader) parse(line []byte) (Request, error) {
	var field [4][]byte
	if n := bytes.Count(line, []byte{','}) + 1; n != len(field) {
		return Request{}, r.malformed("%d fields, want %d", n, len(field))
	}
	rest := line
	for i := range field {
		field[i], rest, _ = bytes.Cut(rest, []byte{','})
	}

	seconds, err := strconv.ParseFloat(string(field[0]), 64)
	if err != nil || !(seconds >= 0 && seconds <= maxSeconds) {
		return Request{}, r.malformed("seconds %.40q, want 0 to %d", field[0], int64(maxSeconds))
	}
	if len(field[1]) == 0 {
		return Request{}, r.malformed("object is empty")
	}
	size, err := strconv.ParseInt(string(field[2]), 10, 64)
	if err != nil || size < 0 || size > MaxSize {
		return Request{}, r.malformed("bytes %.40q, want 0 to %d", field[2], int64(MaxSize))
	}
	status, err := strconv.Atoi(string(field[3]))
	if err != nil || status < 100 || status > 599 {
		return Request{}, r.malformed("status %.40q, want 100 to 599", field[3])
	}
	return Request{
		At:     time.Duration(seconds * float64(time.Second)),
		Object: string(field[1]),
		Size:   size,
		Status: status,
	}, nil
}

func (r *Reader) malformed(format string, args ...any) error {
	return fmt.Errorf("line %d: %w: %w", r.line, ErrMalformed, fmt.Errorf(format, args...))
}
