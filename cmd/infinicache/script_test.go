package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/infinicache/infinicache/internal/bytesize"
	"github.com/infinicache/infinicache/internal/loopback"
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
	code = m.Run()
	return code, measured.print(os.Stdout)
}

// TestScripts runs the scripts of testdata/script over the real binaries. Beside
// testscript's own, they have these commands:
//
//	up [FLAG...]          runs a cache on free ports, and sets $CLIENT, $REDIS, $ADMIN
//	down [SIGNAL]         ends it (TERM), which must succeed and leave no process
//	start NAME CMD ARG... runs a command that serves, and sets $NAME_INVOKE and the
//	                      like by the line that says that it is ready
//	create URL NAME...    creates functions of infinicache-node through the Lambda API
//	end NAME [SIGNAL]     ends it, as down does; KILL is allowed
//	newer TEXT VAR        finds the one number of the last output after TEXT, which
//	                      must be above $VAR, and sets VAR to it
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
			"up": scriptUp, "down": scriptDown, "start": scriptStart, "end": scriptEnd, "create": scriptCreate,
			"exits": scriptExits, "newer": scriptNewer,
			"random": scriptRandom, "same": scriptSame, "unused": scriptUnused, "rediscli": scriptRedis,
		},
		Deadline: time.Now().Add(5 * time.Minute),
	})
}

func scriptUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("use: exits CODE infinicache up ...")
	}
	startDaemon(ts, "", append([]string{
		"up", "--client", "127.0.0.1:0", "--redis", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--seed", "7",
	}, args...))
}

func scriptDown(ts *testscript.TestScript, neg bool, args []string) { stopDaemon(ts, "", neg, args) }

func scriptStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME CMD ARG...")
	}
	startDaemon(ts, args[0], args[1:])
}

func scriptEnd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: end NAME [SIGNAL]")
	}
	stopDaemon(ts, args[0], neg, args[1:])
}

func scriptNewer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: newer TEXT VAR")
	}
	found := regexp.MustCompile(regexp.QuoteMeta(args[0]) + `\D*(\d+)`).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("no number after %q", args[0])
	}
	now, err := strconv.ParseUint(found[1], 10, 64)
	ts.Check(err)
	if before, err := strconv.ParseUint(ts.Getenv(args[1]), 10, 64); err == nil && now <= before {
		ts.Fatalf("%s %d, above %d wanted", args[0], now, before)
	}
	ts.Setenv(args[1], found[1])
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
	size, ok := bytesize.Parse(args[1])
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
	at, release, err := loopback.Reserve()
	ts.Check(err)
	ts.Defer(release)
	ts.Setenv(args[0], at.String())
}

func scriptRedis(ts *testscript.TestScript, _ bool, args []string) {
	host, port, err := net.SplitHostPort(ts.Getenv("REDIS"))
	ts.Check(err)
	ts.Check(ts.Exec("redis-cli", append([]string{"-h", host, "-p", port}, args...)...))
}

// TestReplay plays the extract of the trace while nodes are reclaimed.
func TestReplay(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "infinicache"), "replay", "../../testdata/trace/dal09-2000.csv.gz",
		"--up", "--scale", "0.005", "--requests", "2000", "--reclaim-every", "20ms", "--min-hits", "0.4", "--json",
		"--up-flag=--memory=128MiB", "--up-flag=--nodes=6", "--up-flag=--cut-links=0.2")
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
	if r.Requests != 2000 || r.WrongBytes != 0 || !r.Verified || r.Errors != 0 || r.FailedPuts != 0 {
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
