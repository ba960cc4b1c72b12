package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/infinicache/infinicache/internal/admin"
)

// bin is where TestMain puts the two binaries.
var bin string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if bin, err = os.MkdirTemp("", "infinicache-test-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(bin)
	for name, flags := range map[string][]string{
		"infinicache":      {"-ldflags", "-X main.version=v0-test"},
		"infinicache-node": {"-tags", "lambda.norpc"},
	} {
		build := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", filepath.Join(bin, name)}, flags...), "../"+name)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return m.Run(), nil
}

// TestScripts runs the scripts of testdata/script over the real binaries. Beside
// testscript's own, they have these commands:
//
//	up [FLAG...]          runs a cache on free ports, and sets $CLIENT, $REDIS, $ADMIN
//	down [SIGNAL]         ends it (TERM), which must succeed and leave no process
//	exits CODE CMD ARG... runs a command that must end with that exit code
//	random FILE SIZE      makes a file
//	same FILE FILE        compares two files byte by byte
//	rediscli ARG...       runs redis-cli against the cache
//	unused VAR            sets VAR to an address where nobody listens
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"up": scriptUp, "down": scriptDown, "exits": scriptExits,
			"random": scriptRandom, "same": scriptSame, "unused": scriptUnused, "rediscli": scriptRedis,
		},
		Deadline: time.Now().Add(50 * time.Second),
	})
}

// cache is an infinicache up that a script or test started.
type cache struct {
	cmd                  *exec.Cmd
	client, redis, admin string
	log                  string // file
	ended                chan error
}

// startCache runs up on free ports and waits until it is ready.
func startCache(dir string, flags ...string) (*cache, error) {
	c := &cache{log: filepath.Join(dir, "up.log"), ended: make(chan error, 1)}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command(filepath.Join(bin, "infinicache"), append([]string{
		"up", "--client", "127.0.0.1:0", "--redis", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--seed", "7",
	}, flags...)...)
	c.cmd.Dir, c.cmd.Stderr = dir, log
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	lines := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		first, _ := r.ReadString('\n')
		lines <- first
		rest, _ := io.ReadAll(r)
		err := c.cmd.Wait()
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("more than one line on standard output: %.200q", rest)
		}
		c.ended <- err
	}()
	select {
	case line := <-lines:
		_, err = fmt.Sscanf(line, "ready client=%s redis=%s admin=%s\n", &c.client, &c.redis, &c.admin)
		if err != nil {
			err = fmt.Errorf("first line %q: %w", line, err)
		}
	case <-time.After(20 * time.Second):
		err = errors.New("not ready after 20 s")
	}
	if err != nil {
		c.cmd.Process.Kill()
		return nil, fmt.Errorf("%w\n%s", err, c.logged())
	}
	return c, nil
}

func (c *cache) logged() string {
	text, _ := os.ReadFile(c.log)
	return string(text)
}

// status asks the admin door.
func (c *cache) status() (admin.Status, error) {
	client := admin.NewClient(c.admin)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Status(ctx)
}

// stop ends the cache and returns an error if it fails, hangs, or leaves a
// process.
func (c *cache) stop(signal os.Signal) error {
	s, err := c.status()
	if err != nil {
		return err
	}
	if err := c.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case err = <-c.ended:
	case <-time.After(15 * time.Second):
		c.cmd.Process.Kill()
		err = errors.New("no end after 15 s")
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.logged())
	}
	instances := 0
	for _, n := range s.Nodes {
		for _, i := range n.Instances {
			instances++
			if i.PID != 0 && syscall.Kill(i.PID, 0) == nil {
				return fmt.Errorf("process %d of node %d is left", i.PID, n.Node)
			}
		}
	}
	if s.Traffic.Puts > 0 && instances == 0 {
		return errors.New("objects were stored, but the status named no instance")
	}
	if n := s.Traffic.UnexplainedMisses; n > 0 {
		return fmt.Errorf("%d misses without a cause", n)
	}
	return nil
}

func scriptUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("use: exits CODE infinicache up ...")
	}
	c, err := startCache(ts.MkAbs("."), args...)
	ts.Check(err)
	ts.Setenv("CLIENT", c.client)
	ts.Setenv("REDIS", c.redis)
	ts.Setenv("ADMIN", c.admin)
	caches.put(ts, c)
	ts.Defer(func() {
		if caches.take(ts) != nil {
			c.cmd.Process.Kill()
			<-c.ended
			ts.Logf("log of up:\n%s", c.logged())
		}
	})
}

func scriptDown(ts *testscript.TestScript, neg bool, args []string) {
	c := caches.take(ts)
	if neg || c == nil {
		ts.Fatalf("down: nothing is up")
	}
	signal := syscall.SIGTERM
	if len(args) == 1 && args[0] == "INT" {
		signal = syscall.SIGINT
	}
	ts.Check(c.stop(signal))
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func scriptRandom(ts *testscript.TestScript, _ bool, args []string) {
	size, ok := parseSize(args[1])
	if !ok {
		ts.Fatalf("size %q", args[1])
	}
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(b)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o666))
}

func scriptSame(ts *testscript.TestScript, neg bool, args []string) {
	if same := ts.ReadFile(args[0]) == ts.ReadFile(args[1]); same == neg {
		ts.Fatalf("%s and %s: same is %t", args[0], args[1], same)
	}
}

func scriptUnused(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

func scriptRedis(ts *testscript.TestScript, _ bool, args []string) {
	host, port, err := net.SplitHostPort(ts.Getenv("REDIS"))
	ts.Check(err)
	ts.Check(ts.Exec("redis-cli", append([]string{"-h", host, "-p", port}, args...)...))
}

// TestReplay plays the extract of the trace while nodes are reclaimed.
func TestReplay(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "infinicache"), "replay", "../../testdata/trace/dal09-2000.csv.gz",
		"--up", "--scale", "0.005", "--requests", "1000", "--reclaim-every", "150ms", "--min-hits", "0.4", "--json",
		"--up-flag=--memory=128MiB", "--up-flag=--cut-links=0.2")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	var r replayReport
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	t.Logf("%.3f of %d requests hit, misses %v, %d reclaimed in %.1f s", r.HitRatio, r.Requests, r.Misses, r.Reclaimed, r.Seconds)
	if r.Requests != 1000 || r.WrongBytes != 0 || !r.Verified || r.Errors != 0 || r.FailedPuts != 0 {
		t.Errorf("%d requests, %d wrong bytes, %d errors, %d failed puts (%s)", r.Requests, r.WrongBytes, r.Errors, r.FailedPuts, r.FirstError)
	}
	if r.UnexplainedMisses == nil || *r.UnexplainedMisses != 0 || r.Misses["unexplained"] != 0 {
		t.Errorf("misses without a cause: %v, %d seen", r.UnexplainedMisses, r.Misses["unexplained"])
	}
	if r.Reclaimed == 0 {
		t.Error("no instance was reclaimed meanwhile")
	}
	if r.Bill == nil || r.Bill.Sessions == 0 || r.Bill.Seconds <= 0 || r.Bill.Dollars <= 0 {
		t.Errorf("bill %+v", r.Bill)
	}
}
