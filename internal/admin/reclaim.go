package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
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
	if err != nil {
		refuse(w, err)
		return
	}
	var done reclaimed
	for i, node := range nodes {
		s.log.Info("instances reclaimed by command", "node", node, "instances", counts[i], "kill", kill)
		done.Nodes = append(done.Nodes, Reclaimed{node, counts[i]})
	}
	s.answer(w, done)
}

// reclaimOrder reads what is wanted, and complains about all that is wrong.
func reclaimOrder(r *http.Request) (nodes []int, kill bool, err error) {
	query := r.URL.Query()
	nodes, err = givenNodes(query)
	if text := query.Get("kill"); text != "" {
		var wrong error
		if kill, wrong = strconv.ParseBool(text); wrong != nil {
			err = errors.Join(err, fmt.Errorf("kill: %.40q given, true or false allowed", text))
		}
	}
	return nodes, kill, err
}

// givenNodes reads the numbers of nodes, and complains about those that are none, up
// to a few.
func givenNodes(query url.Values) (nodes []int, err error) {
	given := query["node"]
	if len(given) == 0 {
		given = []string{""}
	}
	if len(given) > MaxNodes {
		return nil, fmt.Errorf("node: %d given, at most %d allowed", len(given), MaxNodes)
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
	return nodes, errors.Join(errs...)
}
