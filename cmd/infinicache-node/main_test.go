package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/wire"
)

// asProgram makes the test's binary the program.
const asProgram = "INFINICACHE_NODE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is the program with an environment of its own.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	self := os.Getenv("INFINICACHE_NODE_BINARY")
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	// A program with the race detector in it would end a second late.
	cmd.Env = append([]string{asProgram + "=1", "GORACE=atexit_sleep_ms=0"}, env...)
	return cmd
}

func TestCommandLine(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  []string
		args []string
		exit int
		want []string
	}{
		{"version", nil, []string{"-version"}, 0, []string{"infinicache-node " + version}},
		{"no platform", nil, nil, 2, []string{"a function platform starts it"}},
		{"bad environment", []string{
			"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=much", "AWS_LAMBDA_LOG_LEVEL=loud",
			"INFINICACHE_NOTICE=soon",
		}, nil, 2, []string{`"much"`, `"loud"`, `"soon"`}},
		{"too little memory", []string{
			"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=8",
		}, nil, 2, []string{"Memory"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := program(t, tc.env, tc.args...)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tc.exit {
				t.Errorf("exit code %d, want %d", got, tc.exit)
			}
			for _, want := range tc.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("output %q lacks %q", out, want)
				}
			}
		})
	}
}

// function is the program running under a Runtime API, with a proxy to dial.
type function struct {
	api     *runtimeAPI
	ln      net.Listener
	cmd     *exec.Cmd
	session uint64
}

func startFunction(t *testing.T, mib int, env ...string) *function {
	f := &function{api: newRuntimeAPI(t)}
	var err error
	if f.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.ln.Close() })
	f.cmd = program(t, append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + f.api.addr,
		fmt.Sprintf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE=%d", mib),
	}, env...))
	f.cmd.Stderr = os.Stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.cmd.Process.Kill()
		f.cmd.Wait()
	})
	f.idle(t)
	return f
}

// idle waits until the function asks for the next event.
func (f *function) idle(t *testing.T) {
	t.Helper()
	select {
	case <-f.api.asked:
	case <-time.After(time.Minute):
		t.Fatal("the function does not ask for events")
	}
}

func (f *function) invocation() []byte {
	f.session++
	secret := wire.Secret([]byte("key"), 1, 0, f.session)
	inv := &wire.Invocation{
		Protocol: wire.Version, Epoch: 1, Session: f.session, Secret: secret[:],
		Proxy: f.ln.Addr().String(), Linger: wire.Linger{Stay: 50 * time.Millisecond},
	}
	b, _ := inv.Encode()
	return b
}

// record is kept with every chunk.
var record = make([]byte, 40)

// feeder is a proxy that fills a node with chunks and lets it sleep.
type feeder struct {
	conn  *link.Conn
	size  int
	left  int // chunks not yet sent
	sent  int // chunks whose end is not heard of
	body  []byte
	next  uint64
	fence wire.Fence
	err   error

	// What follows is of tests in which the platform takes the function.
	hold   bool              // let it sleep only after its notice
	full   func()            // called when all chunks are stored; may be nil
	notice chan wire.Session // capacity 1: its notice
}

func (p *feeder) Frame(h wire.Header, meta []byte) error {
	switch h.Type {
	case wire.TypeHello:
		var m wire.Hello
		if err := m.Decode(meta); err != nil {
			return err
		}
		p.fence = wire.Fence{Epoch: m.Epoch, Session: m.Session}
		p.say(wire.TypeWelcome)
		for range 32 {
			p.send()
		}
	case wire.TypeDone:
		if h.Code != wire.CodeOK && p.err == nil {
			var d wire.Done
			p.err = errors.Join(d.Decode(meta), d.Err(h.Code))
		}
		p.sent--
		if h.Stream == uint32(p.next) && p.left == 0 && p.full != nil {
			p.full()
		}
		p.send()
	case wire.TypeNotice:
		var m wire.Session
		if err := m.Decode(meta); err != nil {
			return err
		}
		p.hold = false
		p.notice <- m
	case wire.TypeSleep:
		if p.hold || p.left+p.sent > 0 {
			p.say(wire.TypeStay)
		} else {
			p.say(wire.TypeAsleep)
		}
	}
	return nil
}

func (p *feeder) say(t wire.Type) {
	p.conn.Send(t, 0, 0, &wire.Session{Epoch: p.fence.Epoch, Session: p.fence.Session})
}

func (p *feeder) send() {
	if p.left == 0 {
		return
	}
	p.left--
	p.sent++
	p.next++
	p.conn.Send(wire.TypeStore, 0, uint32(p.next), &wire.Store{
		Fence: p.fence, Chunk: wire.Chunk{Version: p.next}, Size: uint32(p.size), Record: record,
	})
	for at, i := 0, uint32(0); at < p.size; at, i = at+wire.BlockSize, i+1 {
		p.conn.SendBlock(uint32(p.next), wire.Block{Index: i}, p.body[at:min(at+wire.BlockSize, p.size)], nil, nil)
	}
}

func (p *feeder) Buffer(_ uint32, _ wire.Block, _ int, vec [][]byte) [][]byte { return vec }
func (p *feeder) Block(uint32, wire.Block, int, error)                        {}

// serve is a proxy on the next link that the function opens, until that ends.
func (f *function) serve(ctx context.Context, p *feeder) (ended <-chan error) {
	result := make(chan error, 1)
	go func() {
		nc, err := f.ln.Accept()
		if err == nil {
			_, err = link.Greet(nc, wire.RoleProxy, time.Minute)
		}
		if err != nil {
			result <- err
			return
		}
		p.conn = link.New(nc, link.Config{})
		result <- p.conn.Run(ctx, p)
	}()
	return result
}

// feed runs one session, in which it stores chunks of size bytes.
func (f *function) feed(t *testing.T, size, chunks int) wire.Return {
	t.Helper()
	event := f.invocation()
	p := &feeder{size: size, left: chunks, body: make([]byte, size)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := f.serve(ctx, p)
	got := f.api.invoke(t, event)
	f.idle(t)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("link: %v", err)
	}
	if p.err != nil {
		t.Fatalf("STORE: %v", p.err)
	}
	var r wire.Return
	if err := json.Unmarshal(got.body, &r); err != nil || got.failed {
		t.Fatalf("answer %s: %v", got.body, err)
	}
	return r
}

// resident is the process's memory in bytes.
func (f *function) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", f.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc")
	}
	var total, pages int64
	if _, err := fmt.Sscan(string(text), &total, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// A process takes at most a tenth more than it stores, and 20 MiB.
func TestResident(t *testing.T) {
	for _, size := range []int{1 << 10, 100_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f := startFunction(t, 256)
			idle := f.resident(t)
			stored := 100 << 20
			if raced() {
				stored = 4 << 20
			}
			r := f.feed(t, size, stored/size)
			held := int64(r.Chunks) * int64(size+len(record))
			if r.Reason != "slept" || r.Chunks != stored/size {
				t.Errorf("returned %+v, want %d chunks", r, stored/size)
			}
			full := f.resident(t)
			t.Logf("%.1f MiB idle, %.1f MiB with %d MiB in chunks of %d bytes",
				float64(idle)/(1<<20), float64(full)/(1<<20), stored>>20, size)
			if raced() {
				t.Skip("the race detector takes memory of its own")
			}
			if limit := held/10*11 + 20<<20; full > limit {
				t.Errorf("%d bytes are resident, limit %d", full, limit)
			}
		})
	}
}

func raced() bool {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}

// An event that is no invocation is answered with an error, and the process
// goes on.
func TestBadEvent(t *testing.T) {
	f := startFunction(t, 128)
	if got := f.api.invoke(t, []byte(`{"protocol":99}`)); !got.failed || !strings.Contains(string(got.body), "protocol version") {
		t.Errorf("answer %s", got.body)
	}
	f.idle(t)
	if r := f.feed(t, 1000, 1); r.Chunks != 1 {
		t.Errorf("returned %+v", r)
	}
}

func TestDefectFailsTheSessionOnly(t *testing.T) {
	f := function{ln: nowhere{}}
	if _, err := new(handler).Invoke(t.Context(), f.invocation()); err == nil || !strings.Contains(err.Error(), "panic") {
		t.Errorf("Invoke without a node = %v, want the panic", err)
	}
}

// nowhere is a listener that has an address and nothing else.
type nowhere struct{ net.Listener }

func (nowhere) Addr() net.Addr { return &net.TCPAddr{Port: 1} }
