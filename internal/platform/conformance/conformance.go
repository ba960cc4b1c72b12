// Package conformance is the suite that every platform driver passes.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/platform"
)

// Harness is a driver with Function deployed behind it.
type Harness struct {
	Driver platform.Driver
	// Nodes is how many nodes there are, from 0: at least 2.
	Nodes int
	// Missing is a node whose function is not deployed.
	Missing int
	// Outlive has the sessions of a node that begin be another instance's, while the
	// one before lives on, as after a change of what is deployed. It is for drivers
	// that are platform.Overlapping and have a way to the one before.
	Outlive func(node int)
}

// overrun is the longest session where one is overrun, and usual where none is: more
// than the largest payload takes on a busy machine.
const (
	overrun = 3 * time.Second
	usual   = time.Minute
)

// Run runs the suite. For each test it makes a harness, whose functions have had
// no session yet and whose LongestSession is longest, and which lets every node
// have at least two sessions at once if the driver declares SecondInstance.
func Run(t *testing.T, make func(t *testing.T, longest time.Duration) Harness) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, suite)
	}{
		{"declares a sound table", table},
		{"echoes a payload", echo},
		{"reuses a warm instance", reuse},
		{"keeps nodes apart", nodesApart},
		{"runs sessions of many nodes at once", concurrent},
		{"runs a second instance, or refuses", second},
		{"tells which instance is next, and reaches the one before", overlapping},
		{"reports a function's error", functionError},
		{"reports a function's panic", functionPanic},
		{"reports an exit and recovers", exit},
		{"refuses a payload that is too large", payloadTooLarge},
		{"takes the largest payload", largestPayload},
		{"reports a response that is too large", responseTooLarge},
		{"refuses a payload that is not JSON", notJSON},
		{"reports a missing function", missing},
		{"returns when the caller cancels", canceled},
		{"returns at the caller's deadline", deadline},
		{"makes no call for a caller that is gone", gone},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, suite{make(t, usual)}) })
	}
	t.Run("reports a timeout and recovers", func(t *testing.T) { timeout(t, suite{make(t, overrun)}) })
}

type suite struct{ Harness }

func (s suite) invoke(t *testing.T, node int, cmd Command) (platform.Outcome, error) {
	t.Helper()
	payload, err := json.Marshal(cmd)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return s.Driver.Invoke(ctx, node, payload)
}

// ok is invoke for a session that must succeed.
func (s suite) ok(t *testing.T, node int, cmd Command) (Reply, platform.Outcome) {
	t.Helper()
	out, err := s.invoke(t, node, cmd)
	if err != nil {
		t.Fatalf("Invoke(%d, %s) = %v", node, cmd.Op, err)
	}
	var r Reply
	if err := json.Unmarshal(out.Payload, &r); err != nil {
		t.Fatalf("payload %.100q: %v", out.Payload, err)
	}
	return r, out
}

// afterExit is the next session after one whose instance ended. Where the platform
// does not tell of that, it may not know it at once either.
func (s suite) afterExit(t *testing.T, node int) Reply {
	t.Helper()
	for end := time.Now().Add(time.Minute); !s.Driver.Capabilities().TellsExit; {
		out, err := s.invoke(t, node, Command{Op: "echo"})
		var r Reply
		if err == nil && json.Unmarshal(out.Payload, &r) == nil {
			return r
		}
		if !errors.Is(err, platform.Unavailable) && !errors.Is(err, platform.NotReady) || time.Now().After(end) {
			t.Fatalf("Invoke(%d) after an exit = %v", node, err)
		}
	}
	r, _ := s.ok(t, node, Command{Op: "echo"})
	return r
}

// fails checks that err is an Error of the kind, and that it carries out.
func (s suite) fails(t *testing.T, node int, out platform.Outcome, err error, want platform.Kind) *platform.Error {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("Invoke(%d) = %v, want %v", node, err, want)
	}
	var e *platform.Error
	if !errors.As(err, &e) {
		t.Fatalf("Invoke(%d) error is a %T", node, err)
	}
	if e.Node != node {
		t.Errorf("error names node %d, want %d", e.Node, node)
	}
	if !bytes.Equal(e.Outcome.Payload, out.Payload) || e.Outcome.Billed != out.Billed {
		t.Errorf("error's outcome %+v differs from %+v", e.Outcome, out)
	}
	if want.SessionRan() == platform.Yes && out.Billed <= 0 && s.Driver.Capabilities().Price.Quantum > 0 {
		t.Errorf("a session that ran was billed %v", out.Billed)
	}
	return e
}

func table(t *testing.T, s suite) {
	c := s.Driver.Capabilities()
	if c.Name == "" {
		t.Error("no name")
	}
	if c.LongestSession <= 0 || c.LongestSession > usual {
		t.Errorf("LongestSession = %v; the suite asked for %v", c.LongestSession, usual)
	}
	if c.MaxPayload < 1<<10 {
		t.Errorf("MaxPayload = %d", c.MaxPayload)
	}
	if c != s.Driver.Capabilities() {
		t.Error("capabilities change")
	}
}

func echo(t *testing.T, s suite) {
	data := json.RawMessage(`{"a":[1,2,3],"b":"ü"}`)
	r, out := s.ok(t, 0, Command{Op: "echo", Data: data})
	if !bytes.Equal(r.Data, data) {
		t.Errorf("data = %s, want %s", r.Data, data)
	}
	if out.RequestID == "" {
		t.Error("no request id")
	}
	if out.Billed < out.Duration+out.Init {
		t.Errorf("billed %v for %v + %v", out.Billed, out.Duration, out.Init)
	}
	if q := s.Driver.Capabilities().Price.Quantum; q > 0 && out.Billed%q != 0 {
		t.Errorf("billed %v, not a multiple of %v", out.Billed, q)
	}
}

func reuse(t *testing.T, s suite) {
	first, cold := s.ok(t, 0, Command{Op: "echo"})
	if !cold.Cold || cold.Init <= 0 {
		t.Errorf("first session: cold %v, init %v", cold.Cold, cold.Init)
	}
	for i := int64(2); i < 6; i++ {
		r, warm := s.ok(t, 0, Command{Op: "echo"})
		if warm.Cold || warm.Init != 0 {
			t.Errorf("session %d: cold %v, init %v", i, warm.Cold, warm.Init)
		}
		if r.Instance != first.Instance || r.Count != i {
			t.Errorf("session %d: instance %s count %d, want %s", i, r.Instance, r.Count, first.Instance)
		}
		if warm.RequestID == cold.RequestID {
			t.Error("two sessions have one request id")
		}
	}
}

func nodesApart(t *testing.T, s suite) {
	a, _ := s.ok(t, 0, Command{Op: "echo"})
	b, _ := s.ok(t, 1, Command{Op: "echo"})
	if a.Instance == b.Instance {
		t.Errorf("nodes 0 and 1 share instance %s", a.Instance)
	}
}

func concurrent(t *testing.T, s suite) {
	var all sync.WaitGroup
	for node := range s.Nodes {
		all.Go(func() {
			for i := range 5 {
				want := fmt.Sprintf(`"%d/%d"`, node, i)
				out, err := s.invoke(t, node, Command{Op: "echo", Data: json.RawMessage(want)})
				if err != nil || !bytes.Contains(out.Payload, []byte(want)) {
					t.Errorf("node %d: %s, %v", node, out.Payload, err)
				}
			}
		})
	}
	all.Wait()
}

func second(t *testing.T, s suite) {
	type answer struct {
		out platform.Outcome
		err error
	}
	answers := make(chan answer, 2)
	for range 2 {
		go func() {
			out, err := s.invoke(t, 0, Command{Op: "sleep", N: 1500}) // so that they overlap
			answers <- answer{out, err}
		}()
	}
	seen := map[string]bool{}
	refused := 0
	for range 2 {
		a := <-answers
		var r Reply
		switch {
		case errors.Is(a.err, platform.Throttled), errors.Is(a.err, platform.Busy):
			refused++
		case a.err != nil:
			t.Errorf("Invoke = %v", a.err)
		case json.Unmarshal(a.out.Payload, &r) == nil:
			seen[r.Instance] = true
		}
	}
	if s.Driver.Capabilities().SecondInstance && len(seen) != 2 {
		t.Errorf("two sessions at once ran in %d instances", len(seen))
	}
	if !s.Driver.Capabilities().SecondInstance && len(seen) != 1 {
		t.Errorf("without second instances, %d ran and %d were refused", len(seen), refused)
	}
}

func overlapping(t *testing.T, s suite) {
	driver, ok := s.Driver.(platform.Overlapping)
	if !ok {
		t.Skip("the platform does not tell which instance is next")
	}
	next := func() string {
		t.Helper()
		id, err := driver.Next(t.Context(), 0)
		if err != nil || id == "" {
			t.Fatalf("Next = %q, %v", id, err)
		}
		return id
	}
	before, _ := s.ok(t, 0, Command{Op: "echo"})
	old := next()
	if again := next(); again != old {
		t.Errorf("the next instance is %s, and then %s", old, again)
	}
	out, err := driver.InvokeInstance(t.Context(), 0, "nobody", []byte(`{"op":"echo"}`), nil)
	s.fails(t, 0, out, err, platform.NotFound)
	if s.Outlive == nil {
		t.Skip("the platform has no way to the instance before")
	}
	s.Outlive(0)
	if now := next(); now == old {
		t.Fatalf("the next instance is %s, as before", now)
	}
	if after, _ := s.ok(t, 0, Command{Op: "echo"}); after.Instance == before.Instance {
		t.Error("a session is the old instance's")
	}
	out, err = driver.InvokeInstance(t.Context(), 0, old, []byte(`{"op":"echo"}`), nil)
	var r Reply
	if err != nil || json.Unmarshal(out.Payload, &r) != nil || r.Instance != before.Instance {
		t.Errorf("InvokeInstance = %s, %v, want a session of %s", out.Payload, err, before.Instance)
	}
}

func functionError(t *testing.T, s suite) {
	before, _ := s.ok(t, 0, Command{Op: "echo"})
	out, err := s.invoke(t, 0, Command{Op: "error"})
	e := s.fails(t, 0, out, err, platform.FunctionError)
	if !strings.Contains(e.Error(), "asked to fail") {
		t.Errorf("error %q does not say what the function said", e)
	}
	after, _ := s.ok(t, 0, Command{Op: "echo"})
	if after.Instance != before.Instance {
		t.Error("an error that the function returned cost its instance")
	}
}

func functionPanic(t *testing.T, s suite) {
	out, err := s.invoke(t, 0, Command{Op: "panic"})
	s.fails(t, 0, out, err, platform.FunctionError)
	s.ok(t, 0, Command{Op: "echo"})
}

func exit(t *testing.T, s suite) {
	before, _ := s.ok(t, 0, Command{Op: "echo"})
	var after Reply
	for _, code := range []int{0, 3} {
		out, err := s.invoke(t, 0, Command{Op: "exit", N: code})
		want := platform.Exited
		if !s.Driver.Capabilities().TellsExit {
			want = platform.Unavailable
		}
		s.fails(t, 0, out, err, want)
		after = s.afterExit(t, 0)
	}
	if after.Instance == before.Instance || after.Count != 1 {
		t.Errorf("after an exit: instance %s count %d", after.Instance, after.Count)
	}
}

func timeout(t *testing.T, s suite) {
	limit := s.Driver.Capabilities().LongestSession
	before, _ := s.ok(t, 0, Command{Op: "echo"})
	began := time.Now()
	out, err := s.invoke(t, 0, Command{Op: "sleep", N: int(3*limit/time.Millisecond) + 1000})
	s.fails(t, 0, out, err, platform.Timeout)
	if took := time.Since(began); took < limit || took > 3*limit+time.Second {
		t.Errorf("a session limited to %v took %v", limit, took)
	}
	after := s.afterExit(t, 0)
	if after.Instance == before.Instance {
		t.Error("an instance survived its timeout")
	}
}

// sized returns a payload of exactly n bytes.
func sized(n int) []byte {
	head, tail := `{"op":"echo","data":"`, `"}`
	return []byte(head + strings.Repeat("x", n-len(head)-len(tail)) + tail)
}

func payloadTooLarge(t *testing.T, s suite) {
	limit := s.Driver.Capabilities().MaxPayload
	if limit == 0 {
		t.Skip("no limit")
	}
	out, err := s.Driver.Invoke(t.Context(), 0, sized(limit+1))
	s.fails(t, 0, out, err, platform.TooLarge)
}

func largestPayload(t *testing.T, s suite) {
	limit := s.Driver.Capabilities().MaxPayload
	if limit == 0 {
		t.Skip("no limit")
	}
	payload := sized(limit)
	payload = bytes.Replace(payload, []byte(`"echo","data"`), []byte(`"fill","data"`), 1)
	if out, err := s.Driver.Invoke(t.Context(), 0, payload); err != nil {
		t.Errorf("Invoke of %d bytes = %.100q, %v", limit, out.Payload, err)
	}
}

func responseTooLarge(t *testing.T, s suite) {
	limit := s.Driver.Capabilities().MaxResponse
	if limit == 0 {
		t.Skip("no limit")
	}
	out, err := s.invoke(t, 0, Command{Op: "fill", N: limit})
	s.fails(t, 0, out, err, platform.ResponseTooLarge)
	s.ok(t, 0, Command{Op: "echo"})
}

func notJSON(t *testing.T, s suite) {
	out, err := s.Driver.Invoke(t.Context(), 0, []byte(`{"op":`))
	s.fails(t, 0, out, err, platform.BadRequest)
}

func missing(t *testing.T, s suite) {
	out, err := s.invoke(t, s.Missing, Command{Op: "echo"})
	s.fails(t, s.Missing, out, err, platform.NotFound)
}

func canceled(t *testing.T, s suite) {
	s.ok(t, 0, Command{Op: "echo"})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("changed its mind")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	began := time.Now()
	out, err := s.Driver.Invoke(ctx, 0, []byte(`{"op":"sleep","n":60000}`))
	s.fails(t, 0, out, err, platform.Canceled)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("%v does not match the context's error and cause", err)
	}
	if took := time.Since(began); took >= s.Driver.Capabilities().LongestSession {
		t.Errorf("returned after %v, when the session was over", took)
	}
}

func deadline(t *testing.T, s suite) {
	s.ok(t, 0, Command{Op: "echo"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	out, err := s.Driver.Invoke(ctx, 0, []byte(`{"op":"sleep","n":60000}`))
	s.fails(t, 0, out, err, platform.Canceled)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not match the context's error", err)
	}
}

func gone(t *testing.T, s suite) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := s.Driver.Invoke(ctx, 0, []byte(`{"op":"echo"}`))
	s.fails(t, 0, out, err, platform.Canceled)
	if r, _ := s.ok(t, 0, Command{Op: "echo"}); r.Count != 1 {
		t.Errorf("the call was made: next session's count is %d", r.Count)
	}
}
