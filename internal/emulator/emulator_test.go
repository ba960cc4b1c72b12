package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNewReportsEveryBadField(t *testing.T) {
	_, err := New(Config{
		Nodes: -1, Prefix: "no spaces", Memory: 1, Timeout: time.Hour, InitTimeout: -1, Concurrency: -1, Rate: -1,
		Reuse: 9, Gap: -1, CutLinks: 2, Notice: time.Hour, Env: map[string]string{"a=b": ""},
		Reclaim: Rules{IdleAge: -1, TotalAge: -1, MeanLife: -1, MassEvery: -1, MassShare: 7},
		Control: Control{
			CreateTime: -1, UpdateTime: -1, Rate: -1, GetFunctionRate: -1, Concurrency: -1, MinUnreserved: -1,
			Faults: []Fault{{Operation: "MakeTea", Call: -1, Status: 200}},
		},
	})
	if err == nil {
		t.Fatal("New accepts it")
	}
	for _, field := range []string{
		"Nodes", "Prefix", "Binary", "Memory", "Timeout", "InitTimeout", "Concurrency", "Rate", "Reuse", "Gap", "CutLinks", "Cut:", "Env",
		"Reclaim.IdleAge", "Reclaim.TotalAge", "Reclaim.MeanLife", "Reclaim.MassEvery", "Reclaim.MassShare", "Notice",
		"Control.CreateTime", "Control.UpdateTime", "Control.Rate", "Control.GetFunctionRate", "Control.Concurrency", "Control.MinUnreserved",
		"Faults[0].Operation", "Faults[0].Call", "Faults[0].Status", "Faults[0].Type",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("complaint lacks %s: %v", field, err)
		}
	}
}

func TestRunEndsWithSessions(t *testing.T) {
	e := newEmulator(t, Config{Nodes: 2})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	c := newClient(t, e)
	c.ok(t, "node-1", `{"op":"echo"}`)
	var session sync.WaitGroup
	session.Go(func() {
		out, err := c.invoke(t, "node-0", `{"op":"sleep","n":20000}`)
		if err != nil || out.FunctionError == nil {
			t.Errorf("session at the end: %+v, %v", out, err)
		}
	})
	var pids []int
	eventually(t, "session", func() bool {
		all := e.Instances()
		if len(all) != 2 || all[0].State != Running {
			return false
		}
		pids = []int{all[0].PID, all[1].PID, e.watchdog.cmd.Process.Pid}
		return true
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	session.Wait()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is there after Run", pid)
		}
	}
	if _, err := os.Stat(e.dir); !os.IsNotExist(err) {
		t.Errorf("work directory: %v", err)
	}
	if _, err := e.Reclaim([]int{0}, false); !errors.Is(err, ErrStopped) {
		t.Errorf("Reclaim = %v", err)
	}
	if err := e.Resize(3); !errors.Is(err, ErrStopped) {
		t.Errorf("Resize = %v", err)
	}
	if err := e.Run(t.Context()); err == nil {
		t.Error("Run twice")
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("SECRET_OF_THE_OPERATOR", "x")
	_, c := platform(t, Config{Env: map[string]string{roleVar: "environment", "MINE": "yes"}})
	var env []string
	if err := json.Unmarshal([]byte(c.ok(t, "node-0", `{}`)), &env); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MINE=yes", "AWS_LAMBDA_FUNCTION_NAME=node-0", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "GOMEMLIMIT=241591905", "TZ=:UTC"} {
		if !slices.Contains(env, want) {
			t.Errorf("environment lacks %s: %q", want, env)
		}
	}
	for _, v := range env {
		if strings.HasPrefix(v, "SECRET") || strings.HasPrefix(v, "HOME=") {
			t.Errorf("environment has %s", v)
		}
	}
}

func TestSplitName(t *testing.T) {
	for _, tt := range []struct{ in, name, qualifier string }{
		{"node-1", "node-1", ""},
		{"node-1:$LATEST", "node-1", "$LATEST"},
		{"123456789012:function:node-1", "node-1", ""},
		{"function:node-1:3", "node-1", "3"},
		{"arn:aws:lambda:eu-west-1:123456789012:function:node-1:live", "node-1", "live"},
		{"", "", ""},
	} {
		if name, qualifier := splitName(tt.in); name != tt.name || qualifier != tt.qualifier {
			t.Errorf("splitName(%q) = %q, %q", tt.in, name, qualifier)
		}
	}
}

// BenchmarkWarmInvoke is a session from thaw to freeze, without the Invoke API.
func BenchmarkWarmInvoke(b *testing.B) {
	e, err := New(Config{Nodes: 1, Binary: os.Args[0]})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	for !e.begin() { // until Run runs
		runtime.Gosched()
	}
	defer e.tasks.Done()
	run := func() {
		if r, f := e.invoke(invocation{fn: e.functions[0], payload: []byte(`{"op":"echo"}`)}); f != nil || r.failed {
			b.Fatalf("%s %v", r.payload, f)
		}
	}
	run()
	for b.Loop() {
		run()
	}
}
