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
	"strings"
	"sync"
	"testing"
	"time"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

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

func TestDeployFromNothing(t *testing.T) {
	e := embedded(t, slowly)
	var mu sync.Mutex
	progress := map[string]bool{}
	d := deployer(t, e, "v1", func(c *Config) {
		c.Pool.LogRetentionDays, c.Pool.LogLevel, c.Pool.Tags = 7, "INFO", map[string]string{"team": "storage"}
		c.Pool.VPC = VPC{[]string{"subnet-2", "subnet-1"}, []string{"sg-1"}}
		c.Progress = func(done, total int, doing string) {
			mu.Lock()
			defer mu.Unlock()
			progress[doing] = true
			if total != 0 && (done > total || total != 5) {
				t.Errorf("%d of %d: %s", done, total, doing)
			}
		}
	})
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(plan); len(got) != 5 || got[0] != "create /aws/lambda/cache; retention none to 7 days" || got[4] != "create cache-3" {
		t.Errorf("plan is %v", got)
	}
	for _, operation := range []string{"CreateFunction", "CreateLogGroup", "PutRetentionPolicy", "PutFunctionConcurrency", "TagResource"} {
		if n := e.Calls(operation); n != 0 {
			t.Errorf("planning made %d calls of %s", n, operation)
		}
	}
	if err := d.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	for _, doing := range []string{"log group /aws/lambda/cache: created", "create function cache-3", "function cache-3: created"} {
		if !progress[doing] {
			t.Errorf("nobody said %q, but %v", doing, progress)
		}
	}
	unchanged(t, d)
	seen := map[string]bool{}
	for node := range 4 {
		s := ask(t, d, node)
		if s.Version != "v1" || seen[s.Instance] {
			t.Errorf("node %d says %+v", node, s)
		}
		seen[s.Instance] = true
	}
	out, err := d.lambda.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("cache-2")})
	if err != nil {
		t.Fatal(err)
	}
	if c := out.Concurrency; c == nil || *c.ReservedConcurrentExecutions != 2 {
		t.Errorf("concurrency is %+v", c)
	}
	if diff := cmp.Diff(map[string]string{poolTag: "cache-", "team": "storage"}, out.Tags); diff != "" {
		t.Error(diff)
	}
}

func TestUpdateRollsDrained(t *testing.T) {
	for atOnce, want := range map[int][]string{
		1: {
			"drain 0 v1", "admit 0 v2", "drain 1 v1", "admit 1 v2", "drain 2 v1", "admit 2 v2", "drain 3 v1", "admit 3 v2",
		},
		2: {
			"drain 0 v1", "drain 1 v1", "admit 0 v2", "admit 1 v2", "drain 2 v1", "drain 3 v1", "admit 2 v2", "admit 3 v2",
		},
	} {
		e := embedded(t, slowly)
		first := deployer(t, e, "v1")
		run(t, first)
		warm := ask(t, first, 3)
		if again := ask(t, first, 3); again != warm {
			t.Fatalf("node 3 says %+v, then %+v", warm, again)
		}
		proxy := &drainer{seen: func(node int) string { return ask(t, first, node).Version }}
		second := deployer(t, e, "v2", func(c *Config) { c.Drainer, c.AtOnce = proxy, atOnce })
		run(t, second)
		if diff := cmp.Diff(want, proxy.log); diff != "" {
			t.Errorf("%d at once: %s", atOnce, diff)
		}
		unchanged(t, second)
	}
}

func TestUpdateOfConfigurationAndCode(t *testing.T) {
	e := embedded(t, slowly)
	run(t, deployer(t, e, "v1", func(c *Config) { c.Pool.VPC = VPC{[]string{"subnet-1"}, []string{"sg-1"}} }))
	proxy := &drainer{}
	d := deployer(t, e, "v2", func(c *Config) {
		c.Pool.Memory, c.Pool.Timeout, c.Pool.Concurrency, c.Drainer = 512<<20, time.Minute, 0, proxy
		c.Pool.Architecture, c.Pool.Tags, c.Pool.LogLevel = X8664, map[string]string{"team": "b"}, "WARN"
	})
	run(t, d)
	unchanged(t, d)
	if len(proxy.log) != 8 {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
	f, err := d.get(t.Context(), place{"cache-1", 1})
	if err != nil {
		t.Fatal(err)
	}
	if f.memory != 512 || f.timeout != 60 || f.concurrency != 0 || f.architecture != X8664 || len(f.subnets) != 0 || f.tags["team"] != "b" || f.logLevel != "WARN" {
		t.Errorf("cache-1 is %+v", f)
	}
}

func TestWhatRetiresNobodyDrainsNobody(t *testing.T) {
	e := embedded(t, slowly)
	first := deployer(t, e, "v1")
	run(t, first)
	warm := ask(t, first, 0)
	proxy := &drainer{}
	run(t, deployer(t, e, "v1", func(c *Config) {
		c.Pool.Concurrency, c.Pool.Tags, c.Pool.Nodes, c.Drainer = 3, map[string]string{"a": "b"}, 5, proxy
	}))
	if len(proxy.log) != 0 {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
	if again := ask(t, first, 0); again != warm {
		t.Errorf("node 0 says %+v, then %+v", warm, again)
	}
}

func TestUpdateWithoutProxyNeedsConsent(t *testing.T) {
	e := embedded(t, slowly)
	first := deployer(t, e, "v1")
	run(t, first)
	d := deployer(t, e, "v2")
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), plan); !errors.Is(err, Consent) || ask(t, first, 0).Version != "v1" {
		t.Errorf("Apply = %v", err)
	}
	d.cfg.LoseObjects = true
	if err := d.Apply(t.Context(), plan); err != nil || ask(t, d, 3).Version != "v2" {
		t.Errorf("Apply = %v", err)
	}
}

func TestResumeAfterFailure(t *testing.T) {
	denied := emulator.Fault{
		Operation: "UpdateFunctionCode", Call: 3, Status: 403, Type: "AccessDeniedException",
		Message: "User: arn:aws:iam::1:user/x is not authorized to perform: lambda:UpdateFunctionCode on resource: y",
	}
	full := emulator.Fault{Operation: "CreateFunction", Call: 3, Status: 400, Type: "CodeStorageExceededException"}
	lost := emulator.Fault{Operation: "CreateFunction", Call: 1, Status: 502, Type: "ServiceException", Late: true}
	control := slowly
	control.Faults = []emulator.Fault{denied, full, lost}
	e := embedded(t, control)

	// The first creation's answer is lost; another is refused for good.
	first := deployer(t, e, "v1")
	plan, err := first.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Apply(t.Context(), plan); !errors.Is(err, Quota) {
		t.Fatalf("Apply = %v, want quota", err)
	}
	before := len(names(t, first))
	if before == 0 || before == 4 {
		t.Errorf("%d functions are there", before)
	}
	if plan := run(t, first); len(plan.Changes) < 4-before {
		t.Errorf("with %d functions the next plan is %v", before, summary(plan))
	}
	unchanged(t, first)

	// The third update is refused: two are done, the third node is used again.
	proxy := &drainer{}
	second := deployer(t, e, "v2", func(c *Config) { c.Drainer = proxy })
	if plan, err = second.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = second.Apply(t.Context(), plan)
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != Denied || failed.Action != "lambda:UpdateFunctionCode" || failed.Doing != "update function cache-2" {
		t.Errorf("Apply = %v", err)
	}
	if want := []string{"drain 0", "admit 0", "drain 1", "admit 1", "drain 2", "admit 2"}; !slices.Equal(proxy.log, want) {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
	if plan = run(t, second); len(plan.Changes) != 2 {
		t.Errorf("the next plan is %v", summary(plan))
	}
	unchanged(t, second)
}

func TestUndrainedNodeIsLeftAlone(t *testing.T) {
	e := embedded(t, slowly)
	first := deployer(t, e, "v1")
	run(t, first)
	proxy := &drainer{refuse: 1}
	second := deployer(t, e, "v2", func(c *Config) { c.Drainer = proxy })
	plan, err := second.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Apply(t.Context(), plan); !errors.Is(err, Undrained) {
		t.Errorf("Apply = %v", err)
	}
	if want := []string{"drain 0", "admit 0", "drain 1"}; !slices.Equal(proxy.log, want) {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
	if ask(t, first, 0).Version != "v2" || ask(t, first, 1).Version != "v1" {
		t.Error("another node was updated than the one that was drained")
	}
}

func TestInterruptAdmitsAgain(t *testing.T) {
	e := embedded(t, slowly)
	run(t, deployer(t, e, "v1"))
	ctx, interrupt := context.WithCancel(t.Context())
	admitted := make(chan error, 1)
	proxy := &drainer{drained: func([]int) { interrupt() }}
	d := deployer(t, e, "v2", func(c *Config) { c.Drainer = admits{proxy, admitted} })
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(ctx, plan); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply = %v", err)
	}
	if want := []string{"drain 0", "admit 0"}; !slices.Equal(proxy.log, want) {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
	if err := <-admitted; err != nil {
		t.Errorf("the context of Admit has %v", err)
	}
}

// admits tells what the context of Admit has.
type admits struct {
	*drainer
	ended chan<- error
}

func (a admits) Admit(ctx context.Context, nodes []int) error {
	a.ended <- ctx.Err()
	return a.drainer.Admit(ctx, nodes)
}

func TestThrottledCallsAreMadeAgain(t *testing.T) {
	e := embedded(t, emulator.Control{}) // 15 calls a second, and quick makes them at once
	d := deployer(t, e, "v1", func(c *Config) { c.Pool.Nodes = 12 })
	run(t, d)
	unchanged(t, d)
	if n := e.Calls("CreateFunction") + e.Calls("PutFunctionConcurrency"); n <= 24 {
		t.Errorf("%d calls were made, so that none was throttled", n)
	}
}

func TestPaceIsBelowTheThrottle(t *testing.T) {
	e := embedded(t, emulator.Control{})
	once := usualTempo
	once.attempts, once.poll = 1, 5*time.Millisecond // a single refusal fails the deployment
	cfg := deployer(t, e, "v1", func(c *Config) { c.Pool.Nodes = 12 }).cfg
	d, err := newDeployer(cfg, once)
	if err != nil {
		t.Fatal(err)
	}
	run(t, d)
}

func TestShrink(t *testing.T) {
	e := embedded(t, slowly)
	run(t, deployer(t, e, "v1"))
	proxy := &drainer{}
	d := deployer(t, e, "v1", func(c *Config) { c.Pool.Nodes, c.Drainer = 2, proxy })
	run(t, d)
	if want := []string{"drain 3", "drain 2"}; !slices.Equal(proxy.log, want) {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
	if got := names(t, d); !slices.Equal(got, []string{"cache-0", "cache-1"}) {
		t.Errorf("functions are %v", got)
	}
}

func TestNodeThatIsNotDeletedIsAdmitted(t *testing.T) {
	control := slowly
	control.Faults = []emulator.Fault{{Operation: "DeleteFunction", Call: 2, Status: 403, Type: "AccessDeniedException"}}
	e := embedded(t, control)
	run(t, deployer(t, e, "v1"))
	proxy := &drainer{}
	d := deployer(t, e, "v1", func(c *Config) { c.Pool.Nodes, c.Drainer = 2, proxy })
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(t.Context(), plan); !errors.Is(err, Denied) {
		t.Errorf("Apply = %v", err)
	}
	if want := []string{"drain 3", "drain 2", "admit 2"}; !slices.Equal(proxy.log, want) {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
}

// stranger creates a function that is none of the pool's.
func stranger(t *testing.T, d *Deployer, name string, tags map[string]string) {
	t.Helper()
	_, err := d.lambda.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(name), Code: &types.FunctionCode{ZipFile: d.cfg.Archive.zip}, Tags: tags,
		Role: aws.String(d.cfg.Pool.Role), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("x"),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDestroyLeavesStrangersAlone(t *testing.T) {
	e := embedded(t, slowly)
	d := deployer(t, e, "v1", func(c *Config) { c.Pool.Nodes = 60 }) // more than a page of them
	stranger(t, d, "cache-99", nil)
	stranger(t, d, "cache", map[string]string{poolTag: "other-"})
	stranger(t, d, "other", nil)
	run(t, d)
	unchanged(t, d)
	plan, err := d.PlanDestroy(t.Context())
	if err != nil || len(plan.Changes) != 60 {
		t.Fatalf("plan is %v, %v", summary(plan), err)
	}
	if err := d.Apply(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	if got := names(t, d); !slices.Equal(got, []string{"cache", "cache-99", "other"}) {
		t.Errorf("functions are %v", got)
	}
	if plan, err := d.PlanDestroy(t.Context()); err != nil || len(plan.Changes) != 0 {
		t.Errorf("again: %v, %v", summary(plan), err)
	}
}

func TestClashTouchesNothing(t *testing.T) {
	e := embedded(t, slowly)
	d := deployer(t, e, "v1")
	stranger(t, d, "cache-2", nil)
	if _, err := d.Plan(t.Context()); !errors.Is(err, Clash) || !strings.Contains(err.Error(), "cache-2") {
		t.Errorf("Plan = %v", err)
	}
	// One that comes between plan and application is not touched either.
	free := deployer(t, e, "v1", func(c *Config) { c.Pool.Prefix = "free-" })
	plan, err := free.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stranger(t, d, "free-1", map[string]string{"whose": "not yours"})
	if err := free.Apply(t.Context(), plan); !errors.Is(err, Clash) {
		t.Errorf("Apply = %v", err)
	}
	f, err := free.get(t.Context(), place{"free-1", 1})
	if err != nil || f.owner() != "" || f.concurrency != 0 || f.memory != 128 {
		t.Errorf("free-1 is %+v, %v", f, err)
	}
}

// TestFunctionGivenAwayIsNotTouched changes a function's owner between a plan and
// its application.
func TestFunctionGivenAwayIsNotTouched(t *testing.T) {
	e := embedded(t, slowly)
	one := func(c *Config) { c.Pool.Nodes, c.LoseObjects = 1, true }
	first, second := deployer(t, e, "v1", one), deployer(t, e, "v2", one)
	run(t, first)
	deletion, err := first.PlanDestroy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	update, err := second.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, err := first.get(t.Context(), place{"cache-0", 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.lambda.TagResource(t.Context(), &lambda.TagResourceInput{
		Resource: aws.String(before.arn), Tags: map[string]string{poolTag: "theirs-"},
	}); err != nil {
		t.Fatal(err)
	}
	for _, plan := range []Plan{update, deletion} {
		if len(plan.Changes) != 1 {
			t.Fatalf("plan is %v", summary(plan))
		}
		if err := second.Apply(t.Context(), plan); !errors.Is(err, Clash) {
			t.Errorf("Apply of %v = %v", summary(plan), err)
		}
	}
	if f, err := first.get(t.Context(), before.place); err != nil || f.code != before.code {
		t.Errorf("cache-0 is %+v, %v", f, err)
	}
}

func TestTenants(t *testing.T) {
	e := embedded(t, slowly)
	tenants := func(c *Config) { c.Pool.Tenants = true }
	d := deployer(t, e, "v1", tenants)
	run(t, d)
	unchanged(t, d)
	if got := names(t, d); !slices.Equal(got, []string{"cache"}) {
		t.Errorf("functions are %v", got)
	}
	first, second := ask(t, d, 0), ask(t, d, 1)
	if first.Instance == second.Instance || ask(t, d, 0) != first {
		t.Errorf("nodes 0 and 1 are %+v and %+v", first, second)
	}
	next := deployer(t, e, "v2", tenants, func(c *Config) { c.Drainer = &drainer{} })
	plan, err := next.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Apply(t.Context(), plan); !errors.Is(err, Consent) || !strings.Contains(err.Error(), "--undrained instead of --admin") {
		t.Errorf("Apply = %v", err)
	}
	next.cfg.LoseObjects = true
	if err := next.Apply(t.Context(), plan); err != nil || ask(t, next, 1).Version != "v2" {
		t.Errorf("Apply = %v", err)
	}
}
