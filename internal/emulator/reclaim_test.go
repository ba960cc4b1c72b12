package emulator

import (
	"bufio"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestReclaim(t *testing.T) {
	e, c := platform(t, Config{Nodes: 3})
	for _, name := range []string{"node-0", "node-1", "node-2"} {
		c.ok(t, name, `{"op":"echo"}`)
	}
	pid := e.Instances()[1].PID
	if _, err := e.Reclaim([]int{0, 3}, false); !errors.Is(err, ErrNoNode) || len(e.Instances()) != 3 {
		t.Errorf("Reclaim(0, 3) = %v, instances: %+v", err, e.Instances())
	}
	if n, err := e.Reclaim([]int{1, 2}, false); !slices.Equal(n, []int{1, 1}) || err != nil {
		t.Fatalf("Reclaim(1, 2) = %d, %v", n, err)
	}
	if alive(pid) {
		t.Error("process is there after Reclaim")
	}
	if n, err := e.Reclaim([]int{1}, false); !slices.Equal(n, []int{0}) || err != nil {
		t.Errorf("Reclaim(1) again = %d, %v", n, err)
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
	if n, err := e.Reclaim([]int{0}, false); !slices.Equal(n, []int{1}) || err != nil {
		t.Errorf("Reclaim = %d, %v", n, err)
	}
	session.Wait()
	if all := e.Instances(); len(all) != 0 {
		t.Errorf("instances: %+v", all)
	}
}

// goodbyes is where functions in the role "sigterm" say what they have to say.
func goodbyes(t *testing.T) (address string, said <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	lines := make(chan string, 4)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			conn.Close()
			lines <- line
		}
	}()
	return ln.Addr().String(), lines
}

// TestNotice: a function that registered an extension is thawed and told, and
// has time to act, if it is not killed at once.
func TestNotice(t *testing.T) {
	for _, tt := range []struct {
		name   string
		notice time.Duration
		kill   bool
		least  time.Duration
	}{
		{"not killed", 3 * time.Second, false, 3 * time.Second},
		{"killed", time.Minute, true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address, said := goodbyes(t)
			e, c := platform(t, Config{Notice: tt.notice, Env: map[string]string{roleVar: "sigterm", "GOODBYE": address}})
			c.ok(t, "node-0", `{"op":"echo"}`)
			pid := e.Instances()[0].PID
			began := time.Now()
			if n, err := e.Reclaim([]int{0}, tt.kill); !slices.Equal(n, []int{1}) || err != nil {
				t.Fatalf("Reclaim = %d, %v", n, err)
			}
			took := time.Since(began)
			if alive(pid) {
				t.Error("process is there after Reclaim")
			}
			if tt.kill {
				if took > tt.notice || len(said) > 0 {
					t.Errorf("killed after %v, %d goodbyes", took, len(said))
				}
				return
			}
			if got := <-said; got != "bye node-0\n" {
				t.Errorf("the function said %q", got)
			}
			if took < tt.least {
				t.Errorf("killed after %v, notice is %v", took, tt.least)
			}
		})
	}
}

func TestNoticeIsOfTheRealService(t *testing.T) {
	if e := newEmulator(t, Config{}); e.cfg.Notice != DefaultNotice {
		t.Errorf("notice %v, want %v", e.cfg.Notice, DefaultNotice)
	}
}

// TestNoticeInSession: a session that ends within the notice is answered, and
// its instance is not frozen for the rest of it.
func TestNoticeInSession(t *testing.T) {
	t.Parallel()
	address, said := goodbyes(t)
	e, c := platform(t, Config{Notice: 5 * time.Second, Env: map[string]string{roleVar: "sigterm", "GOODBYE": address}})
	c.ok(t, "node-0", `{"op":"echo"}`)
	pid := e.Instances()[0].PID
	var session sync.WaitGroup
	session.Go(func() { c.ok(t, "node-0", `{"op":"sleep","n":600}`) })
	eventually(t, "session", func() bool { return e.Instances()[0].State == Running })
	taken := make(chan error, 1)
	go func() {
		_, err := e.Reclaim([]int{0}, false)
		taken <- err
	}()
	if got := <-said; got != "bye node-0\n" {
		t.Errorf("the function said %q", got)
	}
	session.Wait()
	if state := processState(pid); state == "T" || state == "" {
		t.Errorf("process state %q after the session, within the notice", state)
	}
	if err := <-taken; err != nil {
		t.Errorf("Reclaim = %v", err)
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
