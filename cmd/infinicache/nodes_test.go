package main

import (
	"strings"
	"testing"

	"github.com/infinicache/infinicache/internal/admin"
)

// TestNodesShowsBothInstances: a node may have two, and each is shown.
func TestNodesShowsBothInstances(t *testing.T) {
	frozen, running := admin.Instance{ID: "a", State: "frozen", MemoryBytes: 1 << 20}, admin.Instance{ID: "b", State: "running", MemoryBytes: 2 << 20}
	for _, tt := range []struct {
		name   string
		status admin.Status
		want   []string // fields of lines
	}{
		{"two", admin.Status{Epoch: 1, InstancesListed: true, Nodes: []admin.Node{{State: "awake", Instances: []admin.Instance{frozen, running}}}},
			[]string{"0 awake frozen running 0 B 0 B 3.0 MiB", "0 objects"}},
		{"none", admin.Status{Epoch: 1, InstancesListed: true, Nodes: []admin.Node{{State: "asleep"}}},
			[]string{"0 asleep none", "0 objects"}},
		{"not known", admin.Status{Epoch: 1, Nodes: []admin.Node{{State: "asleep"}}},
			[]string{"0 asleep - 0 B 0 B - ", "0 objects"}},
		{"counted", admin.Status{Epoch: 1, Nodes: []admin.Node{{State: "awake", Holders: 2, HeldBytes: 1 << 20}}},
			[]string{"0 awake 2 1.0 MiB 0 B - ", "0 objects"}},
		{"spent", admin.Status{Epoch: 1, Breaker: admin.Breaker{Open: "dollars", Refused: map[string]uint64{"dollars": 7}},
			Journal: &admin.Journal{Failing: true, LastError: "disk full"}, Nodes: []admin.Node{{State: "asleep"}}},
			[]string{"spend breaker open: 7 sessions forbidden by the limit on dollars", "journal failing: disk full"}},
		{"no proxy", admin.Status{InstancesListed: true, Nodes: []admin.Node{{Instances: []admin.Instance{frozen, frozen}}, {Node: 1}}},
			[]string{"0 - frozen frozen", "1 - none", "2 instances of 2 functions"}},
	} {
		var out strings.Builder
		if err := printNodes(&out, tt.status); err != nil {
			t.Fatal(err)
		}
		var flat strings.Builder
		for line := range strings.Lines(out.String()) {
			flat.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
		}
		for _, want := range tt.want {
			if !strings.Contains(flat.String(), "\n"+want) {
				t.Errorf("%s: no line begins with %q:\n%s", tt.name, want, out.String())
			}
		}
	}
}
