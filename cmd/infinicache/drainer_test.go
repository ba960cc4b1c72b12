package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/infinicache/infinicache/internal/admin"
)

// TestDrainerRefusesOtherPools sees that nodes of another pool are not drained in
// the place of this one's.
func TestDrainerRefusesOtherPools(t *testing.T) {
	for _, tt := range []struct {
		status admin.Status
		want   string // in the error; empty for none
	}{
		{admin.Status{Epoch: 1, Prefix: "cache-"}, ""},
		{admin.Status{Epoch: 1}, ""}, // a proxy that does not tell
		{admin.Status{Epoch: 1, Prefix: "other-"}, `the pool "other-", that of "cache-" wanted`},
		{admin.Status{Prefix: "cache-"}, "door of a platform"},
	} {
		tt.status.Nodes = []admin.Node{{Node: 0, State: "asleep"}, {Node: 1, State: admin.Drained}}
		drains := 0
		door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/status":
				if err := json.NewEncoder(w).Encode(tt.status); err != nil {
					t.Error(err)
				}
			case "/drain":
				drains++
				w.Write([]byte(`{"drained":[0]}` + "\n"))
			}
		}))
		t.Cleanup(door.Close)
		address := strings.TrimPrefix(door.URL, "http://")
		client := admin.NewClient(address)
		t.Cleanup(client.Close)
		d := proxyDrainer{client, address, "cache-"}
		err := d.Drain(t.Context(), []int{0})
		nodes, err2 := d.Drained(t.Context())
		if tt.want == "" {
			if err != nil || err2 != nil || drains != 1 || len(nodes) != 1 || nodes[0] != 1 {
				t.Errorf("%q: Drain = %v, Drained = %v, %v, %d drains", tt.status.Prefix, err, nodes, err2, drains)
			}
			continue
		}
		for _, err := range []error{err, err2, d.Admit(t.Context(), []int{1})} {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: %v, want %q", tt.status.Prefix, err, tt.want)
			}
		}
		if drains != 0 {
			t.Errorf("%q: nodes were drained", tt.status.Prefix)
		}
	}
}
