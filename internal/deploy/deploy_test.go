package deploy

import (
	"strings"
	"testing"
)

func TestDecodeIsStrict(t *testing.T) {
	var p Pool
	text := []byte("platform: lambda\nprefix: cache-\nnodes: 4\nmemory: 256MiB\n")
	if err := Decode(text, &p); err != nil || p != (Pool{"lambda", "cache-", 4, 256 << 20}) {
		t.Errorf("Decode = %+v, %v", p, err)
	}
	if name, err := PlatformOf(text); err != nil || name != "lambda" {
		t.Errorf("PlatformOf = %q, %v", name, err)
	}
	for _, bad := range []string{"nodez: 4", "nodes: 4\nnodes: 5", "memory: much", "nodes: [1]", "\t:"} {
		if err := Decode([]byte(bad), &Pool{}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	if _, err := PlatformOf([]byte("nodes: 3")); err == nil {
		t.Error("a file without platform has one")
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
