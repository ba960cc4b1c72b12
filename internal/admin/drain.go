package admin

import (
	"net/http"
	"time"
)

func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Drain == nil {
		http.Error(w, "there is no pool to drain nodes of here", http.StatusNotImplemented)
		return
	}
	nodes, err := givenNodes(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	lines := newLines(w)
	began := time.Now()
	if err := s.cfg.Drain(r.Context(), nodes, lines.progress); err != nil {
		s.log.Warn("drain failed", "nodes", nodes, "err", err)
		lines.fail(err)
		return
	}
	s.log.Info("drained by command", "nodes", nodes, "took", time.Since(began))
	lines.write(line{Drained: nodes})
}

// admitted is the answer to POST /admit.
type admitted struct {
	Nodes []int `json:"admitted"`
}

func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Admit == nil {
		http.Error(w, "there is no pool to admit nodes to here", http.StatusNotImplemented)
		return
	}
	nodes, err := givenNodes(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.cfg.Admit(nodes); err != nil {
		refuse(w, err)
		return
	}
	s.log.Info("admitted by command", "nodes", nodes)
	s.answer(w, admitted{nodes})
}
