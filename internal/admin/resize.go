package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// resizeLine is one line of the answer to POST /resize. All but the last tell of
// progress; the last one has Nodes or Error.
type resizeLine struct {
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`

	Nodes  int    `json:"nodes,omitempty"`
	Before int    `json:"before,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (s *Server) resize(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Resize == nil {
		http.Error(w, "the pool cannot be resized here", http.StatusNotImplemented)
		return
	}
	given := r.URL.Query().Get("nodes")
	nodes, err := strconv.Atoi(given)
	if err != nil || nodes < 1 || nodes > MaxNodes {
		http.Error(w, fmt.Sprintf("nodes: %.40q given, 1 to %d allowed", given, MaxNodes), http.StatusBadRequest)
		return
	}
	patient(w)
	lines := &resizeLines{w: w}
	began := time.Now()
	before, err := s.cfg.Resize(r.Context(), nodes, lines.progress)
	if err != nil {
		s.log.Warn("resize failed", "nodes", nodes, "before", before, "err", err)
		lines.fail(err)
		return
	}
	s.log.Info("resized by command", "nodes", nodes, "before", before, "took", time.Since(began))
	lines.write(resizeLine{Nodes: nodes, Before: before})
}

// resizeLines writes the answer as it comes to be. Before the first line an
// error can still be told by its status.
type resizeLines struct {
	w     http.ResponseWriter
	mu    sync.Mutex
	began bool
}

func (l *resizeLines) progress(done, total int) { l.write(resizeLine{Done: done, Total: total}) }

func (l *resizeLines) write(line resizeLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.began {
		l.began = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.Header().Set("Cache-Control", "no-store")
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // numbers and a string
	}
	// An error means that the asker left, which ends the context.
	_, _ = l.w.Write(append(text, '\n'))
	_ = http.NewResponseController(l.w).Flush()
}

func (l *resizeLines) fail(err error) {
	l.mu.Lock()
	began := l.began
	l.mu.Unlock()
	switch {
	case began:
		l.write(resizeLine{Error: err.Error()})
	case errors.Is(err, ErrSize):
		http.Error(l.w, err.Error(), http.StatusUnprocessableEntity)
	case errors.Is(err, ErrBusy):
		http.Error(l.w, err.Error(), http.StatusConflict)
	case errors.Is(err, errors.ErrUnsupported):
		http.Error(l.w, err.Error(), http.StatusNotImplemented)
	default:
		http.Error(l.w, err.Error(), http.StatusServiceUnavailable)
	}
}
