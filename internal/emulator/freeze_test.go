package emulator

import (
	"encoding/json"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/platform/conformance"
)

func TestFreezeAndThaw(t *testing.T) {
	e, c := platform(t, Config{})
	var pid int
	var instance string
	for i := int64(1); i <= 5; i++ {
		var r conformance.Reply
		if err := json.Unmarshal([]byte(c.ok(t, "node-0", `{"op":"echo"}`)), &r); err != nil {
			t.Fatal(err)
		}
		all := e.Instances()
		if len(all) != 1 || all[0].State != Stopped || all[0].Sessions != int(i) || all[0].Billed <= 0 || all[0].RSS <= 0 {
			t.Fatalf("after session %d: %+v", i, all)
		}
		if runtime.GOOS == "linux" {
			if got := processState(all[0].PID); got != "T" {
				t.Fatalf("process state %q, want T", got)
			}
		}
		if i == 1 {
			pid, instance = all[0].PID, r.Instance
		}
		if r.Count != i || r.Instance != instance || all[0].PID != pid {
			t.Errorf("session %d: memory not kept: %+v in %d", i, r, all[0].PID)
		}
	}
}

func TestNoFreeze(t *testing.T) {
	e, c := platform(t, Config{NoFreeze: true})
	c.ok(t, "node-0", `{"op":"echo"}`)
	all := e.Instances()
	if len(all) != 1 || all[0].State != Idle {
		t.Fatalf("instances: %+v", all)
	}
	if got := processState(all[0].PID); got == "T" {
		t.Error("process is stopped")
	}
}

// TestDiesWhileFrozen: somebody kills a frozen process; the next session starts
// another in the same instance.
func TestDiesWhileFrozen(t *testing.T) {
	e, c := platform(t, Config{})
	c.ok(t, "node-0", `{"op":"echo"}`)
	before := e.Instances()[0]
	syscall.Kill(before.PID, syscall.SIGKILL)
	eventually(t, "instance without a process", func() bool {
		now := e.Instances()[0]
		return now.PID == 0 && now.State == Crashed && !alive(before.PID)
	})
	eventually(t, "session in a new process", func() bool {
		out, err := c.invoke(t, "node-0", `{"op":"echo"}`)
		return err == nil && out.FunctionError == nil
	})
	after := e.Instances()
	if len(after) != 1 || after[0].ID != before.ID || after[0].PID == before.PID {
		t.Errorf("instances: %+v, before %+v", after, before)
	}
}

func TestGap(t *testing.T) {
	e, c := platform(t, Config{Gap: time.Minute})
	c.ok(t, "node-0", `{"op":"echo"}`)
	// The answer is here, the instance is not free: another serves.
	c.ok(t, "node-0", `{"op":"echo"}`)
	all := e.Instances()
	if len(all) != 2 || all[0].State != Running || all[1].State != Running {
		t.Errorf("instances: %+v", all)
	}
}

func TestReuse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reuse Reuse
		used  int // instances that serve twenty sessions one after another
	}{{"most recent", MostRecent, 1}, {"random", Random, 3}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, c := platform(t, Config{Reuse: tt.reuse, Seed: 7})
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() { c.ok(t, "node-0", `{"op":"sleep","n":2000}`) })
			}
			all.Wait()
			for range 20 {
				c.ok(t, "node-0", `{"op":"echo"}`)
			}
			used := 0
			for _, i := range e.Instances() {
				if i.Sessions > 1 {
					used++
				}
			}
			if n := len(e.Instances()); n != 3 || used != tt.used {
				t.Errorf("%d instances, %d used again; want 3, %d", n, used, tt.used)
			}
		})
	}
}

func TestCutLinks(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	links := make(chan netip.AddrPort, 4)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			links <- conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		}
	}()
	cuts := make(chan Frozen, 64)
	state := make(chan string, 64)
	_, c := platform(t, Config{
		CutLinks: 0.5, Seed: 3,
		Cut: func(f Frozen) { cuts <- f; state <- processState(f.PID) },
		Env: map[string]string{roleVar: "linked", "GOODBYE": ln.Addr().String()},
	})
	for range 20 {
		c.ok(t, "node-0", `{"op":"echo"}`)
	}
	if n := len(cuts); n < 4 || n > 16 {
		t.Errorf("%d of 20 freezes cut links, half wanted", n)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if got := <-state; got != "T" {
		t.Errorf("cut in state %q", got)
	}
	want := <-links
	f := <-cuts
	found := false
	for _, l := range f.Links {
		found = found || l == want
	}
	if !found {
		t.Errorf("links %v lack %v", f.Links, want)
	}
}

func TestSecondInstanceAndCap(t *testing.T) {
	e, c := platform(t, Config{Concurrency: 2})
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() { c.ok(t, "node-0", `{"op":"sleep","n":700}`) })
	}
	eventually(t, "two sessions", func() bool { return len(e.Instances()) == 2 })
	_, err := c.invoke(t, "node-0", `{"op":"echo"}`)
	if err == nil || !strings.Contains(err.Error(), "TooManyRequestsException") {
		t.Errorf("third session at once: %v", err)
	}
	busy.Wait()
	if n := len(e.Instances()); n != 2 {
		t.Errorf("%d instances, want 2", n)
	}
	c.ok(t, "node-0", `{"op":"echo"}`)
}

// TestTwoInstances: a concurrent invocation runs in a second instance with a
// memory of its own; both are kept and listed, and the policy says which of the
// two is used again.
func TestTwoInstances(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reuse Reuse
		used  int // of the two, by later sessions
	}{{"most recent", MostRecent, 1}, {"random", Random, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, c := platform(t, Config{Nodes: 2, Reuse: tt.reuse, Seed: 11})
			speak := func(payload string) conformance.Reply {
				var r conformance.Reply
				if err := json.Unmarshal([]byte(c.ok(t, "node-1", payload)), &r); err != nil {
					t.Error(err)
				}
				return r
			}
			var replies [2]conformance.Reply
			var both sync.WaitGroup
			for i := range replies {
				both.Go(func() { replies[i] = speak(`{"op":"sleep","n":500}`) })
			}
			both.Wait()
			first, second := replies[0].Instance, replies[1].Instance
			if first == second {
				t.Fatalf("both sessions ran in %s", first)
			}
			all := e.Instances()
			if len(all) != 2 || all[0].Node != 1 || all[1].Node != 1 || all[0].ID == all[1].ID || all[0].PID == all[1].PID {
				t.Fatalf("instances: %+v", all)
			}
			counts := map[string]int64{first: 1, second: 1}
			used := map[string]bool{}
			for range 16 {
				r := speak(`{"op":"echo"}`)
				counts[r.Instance]++
				used[r.Instance] = true
				if len(counts) != 2 || r.Count != counts[r.Instance] {
					t.Fatalf("%+v after %v: another instance, or its memory was lost", r, counts)
				}
			}
			if len(used) != tt.used {
				t.Errorf("%d of the two were used again, want %d", len(used), tt.used)
			}
			if n, err := e.Reclaim([]int{1}, false); err != nil || n[0] != 2 {
				t.Errorf("Reclaim = %d, %v", n, err)
			}
		})
	}
}
