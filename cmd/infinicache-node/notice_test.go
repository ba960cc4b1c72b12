package main

import (
	"encoding/json"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// killedAfter is when the platform kills a process that it told of its end: later
// than AWS Lambda does, for a busy machine.
const killedAfter = 20 * time.Second

// patient is the environment of a function on a platform that does.
var patient = "INFINICACHE_NOTICE=" + killedAfter.String()

// take does what the platform does when it takes a function that registered for
// it, and gives what its proxy was told, and how long the process then took.
func (f *function) take(t *testing.T, p *feeder) (wire.Session, time.Duration) {
	t.Helper()
	if !f.api.registered.Load() {
		t.Fatal("the function did not ask to be told of its end")
	}
	start := time.Now()
	for _, sig := range []syscall.Signal{syscall.SIGCONT, syscall.SIGTERM} {
		if err := f.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	gone := make(chan error, 1)
	go func() { gone <- f.cmd.Wait() }()
	var told wire.Session
	select {
	case told = <-p.notice:
	case <-time.After(time.Minute):
		t.Fatal("the proxy was not told")
	}
	select {
	case err := <-gone:
		if err != nil {
			t.Errorf("the process ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the process does not end by itself")
	}
	return told, time.Since(start)
}

// freeze stops the process and returns when it has come to rest.
func (f *function) freeze(t *testing.T) {
	t.Helper()
	pid := f.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil); err != nil || !ws.Stopped() {
		t.Fatalf("not stopped: %v, %v", ws, err)
	}
}

// A function that the platform takes tells its proxy on the link, in a session or
// frozen after one, and is gone before it would be killed.
func TestNotice(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frozen bool
	}{{"in session", false}, {"frozen", true}} {
		t.Run(tc.name, func(t *testing.T) {
			f := startFunction(t, 128, patient)
			full := make(chan struct{})
			p := &feeder{
				size: 1000, left: 3, body: make([]byte, 1000),
				hold: !tc.frozen, full: func() { close(full) }, notice: make(chan wire.Session, 1),
			}
			ended := f.serve(t.Context(), p)
			var answer answer
			if tc.frozen {
				answer = f.api.invoke(t, f.invocation())
				f.idle(t)
				f.freeze(t)
			} else {
				f.api.events <- f.invocation()
				<-full
			}
			told, took := f.take(t, p)
			if !tc.frozen {
				answer = <-f.api.answers
			}
			if told.Session != 1 || told.Epoch != 1 || told.Number != 19_900 {
				t.Errorf("NOTICE %+v, want 19.9 s left in session 1", told)
			}
			if took > killedAfter {
				t.Errorf("gone after %v, when it would have been killed", took)
			}
			t.Logf("gone after %v", took)
			if err := <-ended; !errors.Is(err, wire.ErrClosed) {
				t.Errorf("link ended with %v", err)
			}
			want := wire.Return{Session: 1, Epoch: 1, Reason: "slept", Requests: 3, Chunks: 3}
			if !tc.frozen {
				want.Reason = "notice"
			}
			var got wire.Return
			if err := json.Unmarshal(answer.body, &got); err != nil || answer.failed {
				t.Fatalf("answer %s: %v", answer.body, err)
			}
			want.Instance, want.Used = got.Instance, got.Used
			if got != want {
				t.Errorf("returned %+v, want %+v", got, want)
			}
		})
	}
}

// Without a word of another platform, a function has the time that AWS Lambda gives.
func TestNoticeOfLambda(t *testing.T) {
	f := startFunction(t, 128)
	full := make(chan struct{})
	p := &feeder{size: 1000, left: 3, body: make([]byte, 1000), hold: true, full: func() { close(full) }, notice: make(chan wire.Session, 1)}
	f.serve(t.Context(), p)
	f.api.events <- f.invocation()
	<-full
	if told, _ := f.take(t, p); told.Number != 400 {
		t.Errorf("NOTICE %+v, want 400 ms left", told)
	}
}

// A function that was never invoked has nobody to tell.
func TestNoticeBeforeAnyInvocation(t *testing.T) {
	f := startFunction(t, 128, patient)
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if d := time.Since(start); d > killedAfter {
		t.Errorf("gone after %v", d)
	}
}
