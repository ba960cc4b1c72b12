package emulator

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

func TestResize(t *testing.T) {
	e, c := platform(t, Config{Nodes: 2})
	c.ok(t, "node-0", `{"op":"echo"}`)
	if _, err := c.invoke(t, "node-2", `{}`); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("node-2 before: %v", err)
	}
	if err := e.Resize(4); err != nil || e.Nodes() != 4 {
		t.Fatalf("Resize(4) = %v, %d nodes", err, e.Nodes())
	}
	for _, name := range []string{"node-1", "node-2", "node-3"} {
		c.ok(t, name, `{"op":"echo"}`)
	}
	var pids []int
	for _, inst := range e.Instances()[1:] {
		pids = append(pids, inst.PID)
	}
	if err := e.Resize(1); err != nil || e.Nodes() != 1 {
		t.Fatalf("Resize(1) = %v, %d nodes", err, e.Nodes())
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d of a removed function is there", pid)
		}
	}
	if all := e.Instances(); len(all) != 1 || all[0].Node != 0 {
		t.Errorf("instances: %+v", all)
	}
	if _, err := c.invoke(t, "node-1", `{}`); err == nil || !strings.Contains(err.Error(), "ResourceNotFoundException") {
		t.Errorf("node-1 after: %v", err)
	}
	if _, err := e.Reclaim([]int{1}, false); !errors.Is(err, ErrNoNode) {
		t.Errorf("Reclaim(1) = %v", err)
	}
	if err := e.Resize(2); err != nil {
		t.Fatal(err)
	}
	c.ok(t, "node-1", `{"op":"echo"}`)
	for _, n := range []int{0, -1, MaxNodes + 1} {
		if err := e.Resize(n); !errors.Is(err, ErrSize) {
			t.Errorf("Resize(%d) = %v", n, err)
		}
	}
	if e.Nodes() != 2 {
		t.Errorf("%d nodes", e.Nodes())
	}
}

// TestResizeUnderInvocations: each invocation is answered or refused, whichever
// functions there are at the time.
func TestResizeUnderInvocations(t *testing.T) {
	e, c := platform(t, Config{Nodes: 4})
	c.ok(t, "node-0", `{"op":"echo"}`) // Run runs
	stop := make(chan struct{})
	var all sync.WaitGroup
	for _, name := range []string{"node-0", "node-2", "node-3"} {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := c.invoke(t, name, `{"op":"echo"}`)
				if err != nil && (name == "node-0" || !strings.Contains(err.Error(), "ResourceNotFoundException")) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	for _, n := range []int{2, 4, 1, 3, 4} {
		if err := e.Resize(n); err != nil {
			t.Errorf("Resize(%d) = %v", n, err)
		}
	}
	close(stop)
	all.Wait()
	c.ok(t, "node-3", `{"op":"echo"}`)
}
