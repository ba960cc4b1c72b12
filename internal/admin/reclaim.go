package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Reclaimed says how many instances of a node were taken.
type Reclaimed struct {
	Node      int `json:"node"`
	Instances int `json:"instances"`
}

// reclaimed is the answer to POST /reclaim, in the order of the nodes asked for.
type reclaimed struct {
	Nodes []Reclaimed `json:"nodes"`
}

func (s *Server) reclaim(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Reclaim == nil {
		http.Error(w, "the platform takes no such order", http.StatusNotImplemented)
		return
	}
	nodes, kill, err := reclaimOrder(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	patient(w)
	counts, err := s.cfg.Reclaim(r.Context(), nodes, kill)
	switch {
	case errors.Is(err, ErrNoNode):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		var done reclaimed
		for i, node := range nodes {
			s.log.Info("instances reclaimed by command", "node", node, "instances", counts[i], "kill", kill)
			done.Nodes = append(done.Nodes, Reclaimed{node, counts[i]})
		}
		s.answer(w, done)
	}
}

// reclaimOrder reads what is wanted, and complains about all that is wrong, up
// to a few faults.
func reclaimOrder(r *http.Request) (nodes []int, kill bool, err error) {
	query := r.URL.Query()
	given := query["node"]
	if len(given) == 0 {
		given = []string{""}
	}
	if len(given) > MaxNodes {
		return nil, false, fmt.Errorf("node: %d given, at most %d allowed", len(given), MaxNodes)
	}
	var errs []error
	for _, text := range given {
		node, err := strconv.Atoi(text)
		if err != nil || node < 0 {
			errs = append(errs, fmt.Errorf("node: %.40q given, a number from 0 on allowed", text))
			if len(errs) == 10 {
				break
			}
		}
		nodes = append(nodes, node)
	}
	if text := query.Get("kill"); text != "" {
		if kill, err = strconv.ParseBool(text); err != nil {
			errs = append(errs, fmt.Errorf("kill: %.40q given, true or false allowed", text))
		}
	}
	return nodes, kill, errors.Join(errs...)
}

// patient lifts the limits on the time of a request whose work takes as long as
// it takes. Where they cannot be lifted they are not there.
func patient(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // it would end the context as well
	_ = c.SetWriteDeadline(time.Time{})
}
