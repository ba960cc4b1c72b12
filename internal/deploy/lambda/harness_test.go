package lambda

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/infinicache/infinicache/internal/emulator"
	driver "github.com/infinicache/infinicache/internal/platform/lambda"
	"github.com/infinicache/infinicache/internal/wire"
)

// TestMain makes this binary the function when the embedded platform starts it.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		runtime.Start(answerCall)
		return
	}
	os.Exit(m.Run())
}

// said is what the function answers to a call that is no probe.
type said struct{ Version, Instance string }

var instance = rand.Text()

func answerCall(ctx context.Context, payload json.RawMessage) (any, error) {
	probe, ok := wire.DecodeProbe(payload)
	if !ok {
		return said{os.Getenv("VERSION"), instance}, nil
	}
	r := wire.ProbeResult{Instance: wire.Instance{1}, Version: os.Getenv("VERSION")}
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", probe.Probe)
	if err != nil {
		r.Error = err.Error()
		return r, nil
	}
	c.Close()
	r.Reached = true
	return r, nil
}

// archive makes the function's archive in some version. Its bootstrap starts this
// test's own binary, which is too large to be packed again and again.
func archive(t *testing.T, version string) *Archive {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A function under the race detector would sleep for a second at its exit.
	return script(t, fmt.Sprintf("VERSION=%s GORACE=atexit_sleep_ms=0 exec '%s'", version, binary))
}

// script makes an archive whose bootstrap is a line of shell.
func script(t *testing.T, line string) *Archive {
	t.Helper()
	packed, err := pack([]byte("#!/bin/sh\n" + line + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(packed)
	return &Archive{packed, base64.StdEncoding.EncodeToString(sum[:])}
}

// quick is a tempo for a platform that is at hand. It is above the platform's
// rates.
var quick = tempo{poll: 5 * time.Millisecond, backoff: 200 * time.Millisecond, attempts: 40, patience: time.Minute}

// embedded runs an empty embedded platform.
func embedded(t *testing.T, control emulator.Control) *emulator.Emulator {
	t.Helper()
	e, err := emulator.New(emulator.Config{Control: control, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return e
}

// slowly has functions be pending, and updates in progress, for a while.
var slowly = emulator.Control{CreateTime: 30 * time.Millisecond, UpdateTime: 30 * time.Millisecond, Unthrottled: true}

// deployer makes a Deployer of shortFile, changed, to e.
func deployer(t *testing.T, e *emulator.Emulator, version string, changes ...func(*Config)) *Deployer {
	t.Helper()
	cfg := Config{Pool: load(t, shortFile), Archive: archive(t, version), AWS: driver.Local(e.URL())}
	for _, change := range changes {
		change(&cfg)
	}
	d, err := newDeployer(cfg, quick)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run plans and applies, and returns the plan.
func run(t *testing.T, d *Deployer) Plan {
	t.Helper()
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	return plan
}

// unchanged fails if there is anything left to do.
func unchanged(t *testing.T, d *Deployer) {
	t.Helper()
	plan, err := d.Plan(t.Context())
	if err != nil || len(plan.Changes) != 0 || plan.Loses {
		t.Errorf("plan is %v, %v, want none", summary(plan), err)
	}
}

// ask invokes a node.
func ask(t *testing.T, d *Deployer, node int) said {
	t.Helper()
	p := d.cfg.Pool
	caller, err := driver.New(driver.Config{AWS: d.cfg.AWS, Prefix: p.Prefix, Tenants: p.Tenants})
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	out, err := caller.Invoke(t.Context(), node, []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	var s said
	if err := json.Unmarshal(out.Payload, &s); err != nil {
		t.Fatalf("%v in %s", err, out.Payload)
	}
	return s
}

// names are those of all functions there are.
func names(t *testing.T, d *Deployer) []string {
	t.Helper()
	var all []string
	pages := lambda.NewListFunctionsPaginator(d.lambda, &lambda.ListFunctionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Functions {
			all = append(all, *f.FunctionName)
		}
	}
	slices.Sort(all)
	return all
}

// drainer notes what it is asked, and the version that each node has then.
type drainer struct {
	mu      sync.Mutex
	before  []int // are drained from before
	silence error // of Drained
	busy    int   // times that Admit fails
	log     []string
	refuse  int               // a node that cannot be drained; 0 is none
	drained func(nodes []int) // is called
	seen    func(node int) string
}

func (d *drainer) Drain(_ context.Context, nodes []int) error {
	d.note("drain", nodes)
	if d.drained != nil {
		d.drained(nodes)
	}
	if d.refuse != 0 && slices.Contains(nodes, d.refuse) {
		return errors.New("no room")
	}
	return nil
}

func (d *drainer) Admit(ctx context.Context, nodes []int) error {
	if d.busy > 0 {
		d.busy--
		return errors.New("somebody drains")
	}
	d.note("admit", nodes)
	return ctx.Err()
}

func (d *drainer) Drained(context.Context) ([]int, error) { return d.before, d.silence }

func (d *drainer) note(what string, nodes []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range nodes {
		line := fmt.Sprintf("%s %d", what, n)
		if d.seen != nil {
			line += " " + d.seen(n)
		}
		d.log = append(d.log, line)
	}
}
