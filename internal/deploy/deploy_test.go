package deploy

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	var p Pool
	text := []byte("platform: lambda\nprefix: cache-\nnodes: 4\nmemory: 256MiB\n")
	if faults, err := Decode(text, &p, Strict); err != nil || len(faults) > 0 || p != (Pool{Platform: "lambda", Prefix: "cache-", Nodes: 4, Memory: 256 << 20}) {
		t.Errorf("Decode = %+v, %v, %v", p, faults, err)
	}
	for bad, want := range map[string]string{
		"nodez: 4": "line 1: nodez: no such field", "# n\n'nodes' : [1]": "line 2: nodes: a list given, a whole number allowed", "{nodes: x}": `nodes: "x" given, a whole number allowed`,
		"nodes: 4\nnodes: 5": "line 2: nodes: given twice, once allowed", "memory: much": `line 1: memory: "much" given, a number of bytes like 256MiB allowed`,
		"--- # the pool\nnodes: 4\n---\nnodes: 3\n": "line 3: another document begins, one allowed",
		"\t:": "cannot start any token", "[nodes]": "lines such as", "prefix: 5": "line 1: prefix: 5 given, a text allowed; if it is meant, put it in quotes",
	} {
		faults, err := Decode([]byte(bad), &Pool{}, Strict)
		for _, fault := range faults {
			err = fault
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(faults) > 1 {
			t.Errorf("%q: %v, want %s", bad, err, want)
		}
	}
	if faults, err := Decode([]byte("prefix: 5"), &p, Plain); err != nil || len(faults) > 0 || p.Prefix != "5" {
		t.Errorf("a number as a text, read plainly: %+v, %v, %v", p, faults, err)
	}
}

func TestPlatformOf(t *testing.T) {
	if name, err := PlatformOf([]byte("nodes: 4\nplatform: lambda\n")); err != nil || name != "lambda" {
		t.Errorf("PlatformOf = %q, %v", name, err)
	}
	for text, want := range map[string]string{
		"nodes: 3": "platform: none given", "platform: [a]": "line 1: platform: a list given", "platform:": "platform: none given",
		"platform: a\nplatform: b": "line 2: platform: given twice",
	} {
		if _, err := PlatformOf([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestCheckShape(t *testing.T) {
	for _, c := range []struct {
		nodes       int
		shape, want string
	}{
		{1, "", ""}, {1, "auto", ""}, {6, "4+2", ""}, {0, "4+2", ""}, // of no nodes at all others complain
		{5, "4+2", "nodes 5 6 or more with shape 4+2"}, {5, "4-2", "shape 4-2 auto, or data+parity chunks like 10+2, 64 at most together,"},
	} {
		got := ""
		p := Pool{Nodes: c.nodes, Shape: c.shape}
		p.CheckShape(func(field, given, allowed string) { got += field + " " + given + " " + allowed })
		if got != c.want {
			t.Errorf("%d nodes and shape %q: %q, want %q", c.nodes, c.shape, got, c.want)
		}
	}
}

func TestWritePlan(t *testing.T) {
	var b strings.Builder
	plan := []Change{
		{Action: Create, Kind: "function", Name: "node-0"},
		{Action: Update, Kind: "function", Name: "node-1", Fields: []Field{{"memory", "128MiB", "256MiB"}}},
		{Action: Delete, Kind: "function", Name: "node-2"},
	}
	if err := WritePlan(&b, plan); err != nil {
		t.Fatal(err)
	}
	want := "+ create function node-0\n~ update function node-1\n      memory: 128MiB -> 256MiB\n- delete function node-2\n" +
		"1 to create, 1 to update, 1 to delete\n"
	if b.String() != want {
		t.Errorf("plan is\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	if err := WritePlan(&b, nil); err != nil || b.String() != "nothing to change\n" {
		t.Errorf("empty plan is %q, %v", b.String(), err)
	}
}
