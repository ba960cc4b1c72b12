package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"
)

// line is one line of the answer to a request whose work takes its time. All but
// the last tell of progress; the last one has what came of it, or Error.
type line struct {
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`

	Nodes   int    `json:"nodes,omitempty"`  // of POST /resize
	Before  int    `json:"before,omitempty"` // of POST /resize
	Drained []int  `json:"drained,omitempty"`
	Error   string `json:"error,omitempty"`
}

// last tells whether no line comes after it.
func (l *line) last() bool { return l.Nodes > 0 || len(l.Drained) > 0 || l.Error != "" }

// lines writes such an answer as it comes to be. Before the first line an error can
// still be told by its status.
type lines struct {
	w     http.ResponseWriter
	mu    sync.Mutex
	began bool
}

// newLines begins an answer. The request may take as long as it takes.
func newLines(w http.ResponseWriter) *lines {
	patient(w)
	return &lines{w: w}
}

// patient lifts the limits on the time of a request whose work takes as long as
// it takes. Where they cannot be lifted they are not there.
func patient(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // it would end the context as well
	_ = c.SetWriteDeadline(time.Time{})
}

func (l *lines) progress(done, total int) { l.write(line{Done: done, Total: total}) }

func (l *lines) write(one line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.began {
		l.began = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.Header().Set("Cache-Control", "no-store")
	}
	text, err := json.Marshal(one)
	if err != nil {
		panic(err) // numbers and a string
	}
	// An error means that the asker left, which ends the context.
	_, _ = l.w.Write(append(text, '\n'))
	_ = http.NewResponseController(l.w).Flush()
}

func (l *lines) fail(err error) {
	l.mu.Lock()
	began := l.began
	l.mu.Unlock()
	if began {
		l.write(line{Error: err.Error()})
		return
	}
	refuse(l.w, err)
}

// refuse tells an error by its status. Client knows it again.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	for known, sentinel := range refusals {
		if errors.Is(err, sentinel) {
			status = known
		}
	}
	http.Error(w, err.Error(), status)
}

// refusals are the statuses of answers that have a meaning of their own.
var refusals = map[int]error{
	http.StatusNotFound:            ErrNoNode,
	http.StatusUnprocessableEntity: ErrSize,
	http.StatusConflict:            ErrBusy,
	http.StatusNotImplemented:      errors.ErrUnsupported,
}
