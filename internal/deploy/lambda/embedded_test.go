package lambda

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/emulator"
)

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
	e := embedded(t, emulator.Control{Rate: 5}) // calls a second, and quick makes them at once
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
