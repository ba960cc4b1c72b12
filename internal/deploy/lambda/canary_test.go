package lambda

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/loopback"
)

// outdated is what a deployment would change.
func outdated(t *testing.T, d *Deployer) []string {
	t.Helper()
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return summary(plan)
}

// refused applies a plan that fails, and returns how.
func refused(t *testing.T, d *Deployer) *Error {
	t.Helper()
	plan, err := d.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var failed *Error
	if err := d.Apply(t.Context(), plan); !errors.As(err, &failed) {
		t.Fatalf("Apply = %v", err)
	}
	return failed
}

func TestBrokenProgramStopsAtTheFirstNodes(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       string
	}{
		{"exits", "exit 3", "exited"},
		{"is another program", "exec /no/such/program", "exited"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := embedded(t, slowly)
			first := deployer(t, e, "v1")
			run(t, first)
			proxy := &drainer{}
			broken := deployer(t, e, "", func(c *Config) { c.Archive, c.Drainer, c.AtOnce = script(t, tt.line), proxy, 2 })
			failed := refused(t, broken)
			if failed.Kind != Silent || failed.Doing != "probe function cache-0" || !strings.Contains(failed.Error(), tt.want) ||
				!strings.Contains(failed.Mend, "/aws/lambda/cache") || !strings.Contains(failed.Mend, "stay drained") {
				t.Errorf("Apply = %v", failed)
			}
			if want := []string{"drain 0", "drain 1"}; !slices.Equal(proxy.log, want) {
				t.Errorf("the proxy was asked %v, want %v", proxy.log, want)
			}
			for node := 2; node < 4; node++ {
				if s := ask(t, first, node); s.Version != "v1" {
					t.Errorf("node %d runs %q", node, s.Version)
				}
			}

			// A program that works is what mends it, and the nodes are used again.
			proxy.before, proxy.log = []int{0, 1}, nil
			next := deployer(t, e, "v3", func(c *Config) { c.Drainer, c.AtOnce = proxy, 2 })
			run(t, next)
			if want := []string{"drain 0", "drain 1", "admit 0", "admit 1", "drain 2", "drain 3", "admit 2", "admit 3"}; !slices.Equal(proxy.log, want) {
				t.Errorf("the proxy was asked %v, want %v", proxy.log, want)
			}
			for node := range 4 {
				if s := ask(t, first, node); s.Version != "v3" {
					t.Errorf("node %d runs %q", node, s.Version)
				}
			}

			// So does the program of before.
			proxy.before, proxy.log = nil, nil
			refused(t, deployer(t, e, "", func(c *Config) { c.Archive, c.Drainer, c.AtOnce = script(t, tt.line), proxy, 2 }))
			proxy.before, proxy.log = []int{0, 1}, nil
			run(t, next)
			if want := []string{"drain 0", "drain 1", "admit 0", "admit 1"}; !slices.Equal(proxy.log, want) {
				t.Errorf("going back, the proxy was asked %v, want %v", proxy.log, want)
			}
		})
	}
}

func TestBrokenProgramStopsWithoutProxy(t *testing.T) {
	e := embedded(t, slowly)
	first := deployer(t, e, "v1")
	run(t, first)
	broken := deployer(t, e, "", func(c *Config) { c.Archive, c.LoseObjects = script(t, "exit 3"), true })
	if failed := refused(t, broken); failed.Kind != Silent || strings.Contains(failed.Mend, "drained") {
		t.Errorf("Apply = %v", failed)
	}
	if s := ask(t, first, 1); s.Version != "v1" {
		t.Errorf("node 1 runs %q", s.Version)
	}
}

func TestUpdateThatLosesTheProxyStops(t *testing.T) {
	gone := loopback.Unused(t).String()
	e := embedded(t, slowly)
	first := deployer(t, e, "v1")
	run(t, first)
	proxy := &drainer{}
	lost := func(c *Config) { c.Pool.Proxy, c.Drainer = gone, proxy }
	failed := refused(t, deployer(t, e, "v2", lost))
	if failed.Kind != Network || !strings.Contains(failed.Error(), "does not reach "+gone) {
		t.Errorf("Apply = %v", failed)
	}
	if s := ask(t, first, 1); s.Version != "v1" {
		t.Errorf("node 1 runs %q", s.Version)
	}
	// Nobody drains where no proxy runs, and then it need not be reached.
	run(t, deployer(t, e, "v2", func(c *Config) { c.Pool.Proxy, c.LoseObjects = gone, true }))
}

// TestProbeIsTriedAgain has the function refuse every invocation for a while.
func TestProbeIsTriedAgain(t *testing.T) {
	e := embedded(t, slowly)
	first := deployer(t, e, "v1", func(c *Config) { c.Pool.Concurrency = 0 })
	run(t, first)
	reserve := func(n int32) {
		_, err := first.lambda.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{
			FunctionName: aws.String("cache-0"), ReservedConcurrentExecutions: aws.Int32(n),
		})
		if err != nil {
			t.Error(err)
		}
	}
	reserve(0)
	calls := make(countedClient, 100)
	d := deployer(t, e, "v2", func(c *Config) { c.Pool.Concurrency, c.AWS.HTTPClient = 0, calls })
	a := &application{Deployer: d}
	answered := make(chan error, 1)
	go func() { answered <- a.canary(t.Context(), step{place: place{"cache-0", 0}}) }()
	for range 3 {
		<-calls
	}
	reserve(1)
	if err := <-answered; err != nil {
		t.Errorf("canary = %v", err)
	}
}

// countedClient gets an element for every call that was answered, as far as it has
// room.
type countedClient chan struct{}

func (c countedClient) Do(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultClient.Do(r)
	select {
	case c <- struct{}{}:
	default:
	}
	return res, err
}

func TestKilledDeploymentsNodesAreUsedAgain(t *testing.T) {
	e := embedded(t, slowly)
	run(t, deployer(t, e, "v1"))
	proxy := &drainer{before: []int{1, 3, 9}}
	d := deployer(t, e, "v1", func(c *Config) { c.Drainer = proxy })
	if want, got := []string{"update 1; state drained to in use", "update 3; state drained to in use"}, outdated(t, d); !slices.Equal(got, want) {
		t.Errorf("plan is %v, want %v", got, want)
	}
	run(t, d)
	if want := []string{"admit 1", "admit 3"}; !slices.Equal(proxy.log, want) {
		t.Errorf("the proxy was asked %v, want %v", proxy.log, want)
	}

	// A node that is updated is drained and used again anyway.
	proxy.log = nil
	run(t, deployer(t, e, "v2", func(c *Config) { c.Drainer, c.Pool.Nodes = proxy, 2 }))
	if want := []string{"drain 0", "admit 0", "drain 1", "admit 1", "drain 3", "drain 2"}; !slices.Equal(proxy.log, want) {
		t.Errorf("the proxy was asked %v, want %v", proxy.log, want)
	}
}

func TestProxyThatDoesNotAnswerStopsUpdatesOnly(t *testing.T) {
	e := embedded(t, slowly)
	silent := func(c *Config) { c.Drainer = &drainer{silence: errors.New("it is another's")} }
	first := deployer(t, e, "v1", silent)
	if plan := run(t, first); len(plan.Changes) != 4 || !strings.Contains(strings.Join(plan.Notes, "\n"), "another's") {
		t.Errorf("plan is %v, notes %v", summary(plan), plan.Notes)
	}
	if _, err := deployer(t, e, "v2", silent).Plan(t.Context()); !errors.Is(err, Undrained) || !strings.Contains(err.Error(), "another's") {
		t.Errorf("Plan = %v", err)
	}
	if f := found(t, check(t, first), "drained nodes"); f.Status != Failure {
		t.Errorf("check: %+v", f)
	}
	drained := deployer(t, e, "v1", func(c *Config) { c.Drainer = &drainer{before: []int{2}} })
	if f := found(t, check(t, drained), "drained nodes"); f.Status != Warning || !strings.Contains(f.Found, "[2]") {
		t.Errorf("check: %+v", f)
	}
}

func TestAdmittingIsTriedAgain(t *testing.T) {
	e := embedded(t, emulator.Control{Unthrottled: true})
	run(t, deployer(t, e, "v1"))
	proxy := &drainer{busy: 3}
	run(t, deployer(t, e, "v2", func(c *Config) { c.Drainer = proxy }))
	if len(proxy.log) != 8 || proxy.log[1] != "admit 0" {
		t.Errorf("the proxy was asked %v", proxy.log)
	}
}
