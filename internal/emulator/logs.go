package emulator

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// maxLine is how much of a line that an instance writes is kept, in bytes.
const maxLine = 2 << 10

// logs takes what one process writes. It keeps no more than the tail of the
// session in hand and one line.
type logs struct {
	log *slog.Logger

	mu     sync.Mutex
	recent []byte // since begin, the last maxTail bytes
}

func newLogs(log *slog.Logger) *logs { return &logs{log: log} }

// read takes lines until r ends, cutting those that are too long. A process that
// writes faster than the logger takes waits in its write.
func (l *logs) read(r io.Reader) {
	br := bufio.NewReaderSize(r, maxLine)
	rest := false // of a line whose beginning was taken
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 && !rest {
			l.keep(line)
			l.log.Debug("function wrote", "line", string(bytes.TrimRight(line, "\r\n")))
		}
		rest = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !rest {
			return
		}
	}
}

func (l *logs) keep(line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent = append(l.recent, line...)
	if line[len(line)-1] != '\n' {
		l.recent = append(l.recent, '\n')
	}
	if extra := len(l.recent) - maxTail; extra > 0 {
		l.recent = slices.Delete(l.recent, 0, extra)
	}
}

// begin forgets the lines of earlier sessions.
func (l *logs) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recent = l.recent[:0]
}

// tail returns a copy of what was written since begin, at most maxTail bytes.
func (l *logs) tail() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.recent)
}
