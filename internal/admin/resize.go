package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

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
	lines := newLines(w)
	began := time.Now()
	before, err := s.cfg.Resize(r.Context(), nodes, lines.progress)
	if err != nil {
		s.log.Warn("resize failed", "nodes", nodes, "before", before, "err", err)
		lines.fail(err)
		return
	}
	s.log.Info("resized by command", "nodes", nodes, "before", before, "took", time.Since(began))
	lines.write(line{Nodes: nodes, Before: before})
}
