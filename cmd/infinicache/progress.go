package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// progressFlag declares --progress.
func progressFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("progress", false, "show progress although standard error is no terminal")
}

// statusLine is one line on standard error that is written over and over. A nil
// one shows nothing. It is safe for concurrent use.
type statusLine struct {
	w  io.Writer
	mu sync.Mutex
	n  int // columns in use
}

// newStatusLine makes one if somebody looks at w, or if it is wanted.
func newStatusLine(w io.Writer, wanted bool) *statusLine {
	if !wanted && !isTerminal(w) {
		return nil
	}
	return &statusLine{w: w}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

func (s *statusLine) show(format string, args ...any) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	n := len([]rune(text))
	fmt.Fprintf(s.w, "\r%s%s", text, strings.Repeat(" ", max(s.n-n, 0)))
	s.n = n
}

// clear empties the line, so that something else can be printed.
func (s *statusLine) clear() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n > 0 {
		fmt.Fprintf(s.w, "\r%s\r", strings.Repeat(" ", s.n))
		s.n = 0
	}
}

const (
	// patience is how long a transfer takes before its progress is shown.
	patience = time.Second
	refresh  = 250 * time.Millisecond
)

// transfer shows how far a stream of bytes has come.
type transfer struct {
	line  *statusLine
	what  string
	total int64 // bytes; negative if not known
	done  int64
	began time.Time
	shown time.Time
}

func newTransfer(line *statusLine, what string, total int64) *transfer {
	now := time.Now()
	return &transfer{line: line, what: what, total: total, began: now, shown: now.Add(patience - refresh)}
}

// moved books n more bytes, or fewer if n is negative.
func (t *transfer) moved(n int64) {
	t.done += n
	if now := time.Now(); t.line != nil && now.Sub(t.shown) >= refresh {
		t.shown = now
		rate := shortSize(int64(float64(t.done) / now.Sub(t.began).Seconds()))
		if t.total > 0 {
			t.line.show("%s: %s of %s (%d %%), %s/s", t.what, shortSize(t.done), shortSize(t.total), t.done*100/t.total, rate)
		} else {
			t.line.show("%s: %s, %s/s", t.what, shortSize(t.done), rate)
		}
	}
}

// reading shows the progress of reading r.
func (t *transfer) reading(r io.Reader) io.Reader {
	if s, ok := r.(io.Seeker); ok {
		return &seekingReader{movingReader{r, t}, s}
	}
	return &movingReader{r, t}
}

type movingReader struct {
	r io.Reader
	t *transfer
}

func (m *movingReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.t.moved(int64(n))
	return n, err
}

// seekingReader keeps the ability to go back, without which a transfer that
// broke off cannot be tried again.
type seekingReader struct {
	movingReader
	s io.Seeker
}

func (s *seekingReader) Seek(offset int64, whence int) (int64, error) {
	at, err := s.s.Seek(offset, whence)
	if err == nil && whence == io.SeekStart {
		s.t.done = 0
	}
	return at, err
}

// writing shows the progress of writing to w.
func (t *transfer) writing(w io.Writer) io.Writer { return &movingWriter{w, t} }

type movingWriter struct {
	w io.Writer
	t *transfer
}

func (m *movingWriter) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	m.t.moved(int64(n))
	return n, err
}
