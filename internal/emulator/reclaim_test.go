package emulator

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

func TestReclaim(t *testing.T) {
	e, c := platform(t, Config{Nodes: 2})
	c.ok(t, "node-0", `{"op":"echo"}`)
	c.ok(t, "node-1", `{"op":"echo"}`)
	pid := e.Instances()[1].PID
	if n, err := e.Reclaim(1); n != 1 || err != nil {
		t.Fatalf("Reclaim(1) = %d, %v", n, err)
	}
	if alive(pid) {
		t.Error("process is there after Reclaim")
	}
	if n, err := e.Reclaim(1); n != 0 || err != nil {
		t.Errorf("Reclaim(1) again = %d, %v", n, err)
	}
	if _, err := e.Reclaim(2); !errors.Is(err, ErrNoNode) {
		t.Errorf("Reclaim(2) = %v", err)
	}
	if all := e.Instances(); len(all) != 1 || all[0].Node != 0 {
		t.Errorf("instances: %+v", all)
	}
	c.ok(t, "node-1", `{"op":"echo"}`)
}

func TestReclaimInSession(t *testing.T) {
	e, c := platform(t, Config{})
	var session sync.WaitGroup
	session.Go(func() {
		out, err := c.invoke(t, "node-0", `{"op":"sleep","n":20000}`)
		if err != nil || out.FunctionError == nil {
			t.Errorf("session of a reclaimed instance: %+v, %v", out, err)
		}
	})
	eventually(t, "session", func() bool {
		all := e.Instances()
		return len(all) == 1 && all[0].State == Running
	})
	if n, err := e.Reclaim(0); n != 1 || err != nil {
		t.Errorf("Reclaim = %d, %v", n, err)
	}
	session.Wait()
	if all := e.Instances(); len(all) != 0 {
		t.Errorf("instances: %+v", all)
	}
}

// TestNotice: a function that registered an extension is thawed and told, and
// has time to act.
func TestNotice(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	said := make(chan string, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			said <- err.Error()
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		said <- line
	}()
	e, c := platform(t, Config{Env: map[string]string{roleVar: "sigterm", "GOODBYE": ln.Addr().String()}})
	c.ok(t, "node-0", `{"op":"echo"}`)
	pid := e.Instances()[0].PID
	began := time.Now()
	if n, err := e.Reclaim(0); n != 1 || err != nil {
		t.Fatalf("Reclaim = %d, %v", n, err)
	}
	if got := <-said; got != "bye node-0\n" {
		t.Errorf("the function said %q", got)
	}
	if took := time.Since(began); took < Notice {
		t.Errorf("killed after %v, notice is %v", took, Notice)
	}
	if alive(pid) {
		t.Error("process is there after Reclaim")
	}
}

func TestReclaimRules(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rules Rules
	}{
		{"idle age", Rules{IdleAge: 50 * time.Millisecond}},
		{"total age", Rules{TotalAge: 50 * time.Millisecond}},
		{"mean life", Rules{MeanLife: 30 * time.Millisecond}},
		{"mass", Rules{MassEvery: 50 * time.Millisecond, MassShare: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, c := platform(t, Config{Nodes: 2, Reclaim: tt.rules})
			// A session in being is left alone, whatever the rules say.
			c.ok(t, "node-0", `{"op":"sleep","n":200}`)
			c.ok(t, "node-1", `{"op":"echo"}`)
			eventually(t, "all taken", func() bool { return len(e.Instances()) == 0 })
			c.ok(t, "node-0", `{"op":"echo"}`)
		})
	}
}

func TestReclaimShare(t *testing.T) {
	e, c := platform(t, Config{Nodes: 3})
	for _, name := range []string{"node-0", "node-1", "node-2"} {
		c.ok(t, name, `{"op":"echo"}`)
	}
	if n, err := e.ReclaimShare(0); n != 0 || err != nil {
		t.Errorf("ReclaimShare(0) = %d, %v", n, err)
	}
	if n, err := e.ReclaimShare(1); n != 3 || err != nil {
		t.Errorf("ReclaimShare(1) = %d, %v", n, err)
	}
}

func TestLifeIsSeeded(t *testing.T) {
	cfg := Config{Seed: 5, Reclaim: Rules{MeanLife: time.Hour, TotalAge: 90 * time.Minute}}
	other := cfg
	other.Seed = 6
	same := 0
	for i := range uint64(100) {
		d := life(cfg, 3, i)
		if d != life(cfg, 3, i) {
			t.Fatalf("life %d differs between two draws", i)
		}
		if d <= 0 || d > 90*time.Minute {
			t.Errorf("life %d is %v", i, d)
		}
		if d == life(other, 3, i) && d != 90*time.Minute {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d lives do not depend on the seed", same)
	}
}
