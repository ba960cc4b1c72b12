package lambda

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/deploy"
)

// deployed are the pool's functions as a deployment leaves them.
func deployed(p Pool, code string) []function {
	var all []function
	for _, at := range p.functions() {
		want := p.wanted(code)
		all = append(all, function{place: at, settings: want, state: types.StateActive, lastUpdate: types.LastUpdateStatusSuccessful})
	}
	return all
}

// summary writes a plan's changes in a line each.
func summary(plan Plan) []string {
	lines := []string{}
	for _, c := range plan.Changes {
		line := string(c.Action) + " " + c.Name
		for _, f := range c.Fields {
			line += "; " + f.Name + " " + or(f.From, "none") + " to " + f.To
		}
		lines = append(lines, line)
	}
	return lines
}

func TestPlan(t *testing.T) {
	tenants := func(p *Pool) { p.Tenants = true }
	for _, tt := range []struct {
		name   string
		pool   func(*Pool)                 // changes the pool file after it was deployed
		have   func([]function) []function // changes what is there
		drains bool
		want   []string
		notes  string // is in the notes
		loses  bool
		err    string
	}{
		{name: "nothing to do"},
		{
			name: "nothing there", have: func([]function) []function { return nil },
			want: []string{"create cache-0", "create cache-1", "create cache-2", "create cache-3"},
		},
		{
			name: "growth keeps what is there", have: func(f []function) []function { return f[:2] },
			want: []string{"create cache-2", "create cache-3"},
		},
		{
			name: "memory rolls", pool: func(p *Pool) { p.Memory = 512 << 20 }, drains: true,
			want: []string{
				"update cache-0; memory 256MiB to 512MiB", "update cache-1; memory 256MiB to 512MiB",
				"update cache-2; memory 256MiB to 512MiB", "update cache-3; memory 256MiB to 512MiB",
			},
			notes: "4 nodes are drained and updated, 2 at a time",
		},
		{
			name: "memory without a proxy", pool: func(p *Pool) { p.Memory = 512 << 20 }, have: func(f []function) []function {
				for i := range 3 {
					f[i].memory = 512
				}
				return f
			},
			want:  []string{"update cache-3; memory 256MiB to 512MiB"},
			notes: "without being drained", loses: true,
		},
		{
			name: "what retires nobody comes first and loses nothing", pool: func(p *Pool) { p.Concurrency = 0; p.Tags = map[string]string{"team": "b"} },
			have: func(f []function) []function {
				f[1].concurrency, f[1].tags = 0, map[string]string{poolTag: "cache-", "team": "b"}
				f[0].tags = map[string]string{poolTag: "cache-", "team": "a", "other": "stays"}
				return f[:3]
			},
			want: []string{
				"create cache-3", "update cache-0; concurrency 2 to none; tag team a to b", "update cache-2; concurrency 2 to none; tag team none to b",
			},
		},
		{
			name: "everything that a function has", pool: func(p *Pool) {
				p.Architecture, p.Timeout, p.Role = X8664, p.Timeout/2, "arn:aws:iam::123456789012:role/other"
				p.VPC, p.LogLevel = VPC{[]string{"subnet-2", "subnet-1"}, []string{"sg-1"}}, "WARN"
			},
			have: func(f []function) []function {
				f[0].code, f[0].runtime, f[0].handler, f[0].logGroup, f[0].concurrency = "old", "provided.al2", "main", "/aws/lambda/cache-0", closed
				f[0].memory = 128
				return f[:1]
			},
			drains: true,
			want: []string{
				"create cache-1", "create cache-2", "create cache-3",
				"update cache-0; code old to new; architecture arm64 to x86_64; memory 128MiB to 256MiB; timeout 900s to 450s; " +
					"runtime provided.al2 to provided.al2023; handler main to bootstrap; " +
					"role arn:aws:iam::123456789012:role/node to arn:aws:iam::123456789012:role/other; log group /aws/lambda/cache-0 to /aws/lambda/cache; " +
					"log format Text to JSON; log level none to WARN; subnets none to subnet-1, subnet-2; security groups none to sg-1; " +
					"concurrency 0, which refuses every invocation to 2",
			},
			notes: "1 nodes are drained",
		},
		{
			name: "order of subnets is no difference",
			pool: func(p *Pool) { p.VPC = VPC{[]string{"subnet-2", "subnet-1"}, []string{"sg-1"}} },
			have: func(f []function) []function {
				for i := range f {
					f[i].subnets, f[i].securityGroups = []string{"subnet-1", "subnet-2"}, []string{"sg-1"}
				}
				return f
			},
		},
		{
			name: "shrinking takes the highest first", pool: func(p *Pool) { p.Nodes = 2 }, drains: true,
			want: []string{"delete cache-3", "delete cache-2"}, notes: "make the proxy's pool 2 nodes first",
		},
		{
			name: "shrinking without a proxy", pool: func(p *Pool) { p.Nodes = 3 },
			want: []string{"delete cache-3"}, notes: "without being drained", loses: true,
		},
		{
			name: "strangers beyond the pool are left alone", pool: func(p *Pool) { p.Nodes = 3 }, drains: true,
			have: func(f []function) []function {
				f[3].tags = map[string]string{poolTag: "cach"}
				return append(f, function{place: place{"cache-77", 77}}, function{place: place{"cache", allNodes}})
			},
		},
		{
			name: "strangers in the pool", have: func(f []function) []function {
				f[1].tags, f[2].tags = nil, map[string]string{poolTag: "cache-2"}
				return f
			},
			err: `2 names are taken, nothing was changed: cache-1, which has no tag infinicache:pool, cache-2, which is of the pool "cache-2"`,
		},
		{
			name: "an update that failed is done again", have: func(f []function) []function {
				f[2].lastUpdate, f[2].stateReason = types.LastUpdateStatusFailed, "no addresses"
				return f
			},
			drains: true, want: []string{"update cache-2; last update Failed (no addresses) to done again"}, notes: "1 nodes are drained",
		},
		{
			name: "a creation that failed is done again", have: func(f []function) []function {
				f[2].state = types.StateFailed
				return f
			},
			drains: true, want: []string{"update cache-2; state Failed (no reason given) to created again"}, notes: "1 nodes are drained",
		},
		{
			name: "to one function for all", pool: tenants, drains: true,
			want:  []string{"create cache", "delete cache-3", "delete cache-2", "delete cache-1", "delete cache-0"},
			notes: "what the cache holds is lost", loses: true,
		},
		{
			name: "tenants grow", pool: func(p *Pool) { p.Tenants, p.Nodes = true, 5 },
			have: func([]function) []function {
				p := load(t, shortFile)
				p.Tenants = true
				return deployed(p, "new")
			},
			want: []string{"update cache; concurrency 8 to 10"},
		},
		{
			name: "tenants are updated all at once", pool: tenants, drains: true,
			have: func([]function) []function {
				p := load(t, shortFile)
				p.Tenants = true
				return deployed(p, "old")
			},
			want: []string{"update cache; code old to new"}, notes: "ends every instance at once", loses: true,
		},
		{
			name: "one function that is not for tenants", pool: tenants,
			have: func([]function) []function {
				return []function{{place: place{"cache", allNodes}, settings: settings{tags: map[string]string{poolTag: "cache-"}}}}
			},
			err: "whose tenant isolation is otherwise",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := load(t, shortFile)
			have := deployed(p, "new")
			if tt.pool != nil {
				tt.pool(&p)
			}
			if tt.have != nil {
				have = tt.have(have)
			}
			plan, err := p.plan(observed{functions: have}, p.wanted("new"), planning{drains: tt.drains, atOnce: 2})
			if tt.err != "" {
				if !errors.Is(err, Clash) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("plan = %v, want a clash with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append([]string{}, tt.want...), summary(plan)); diff != "" {
				t.Error(diff)
			}
			notes := strings.Join(plan.Notes, "\n")
			if plan.Loses != tt.loses || !strings.Contains(notes, tt.notes) || (tt.notes == "") != (notes == "") {
				t.Errorf("loses %t, notes %q; want %t, %q", plan.Loses, notes, tt.loses, tt.notes)
			}
			if plan.drains && (plan.Loses || !tt.drains) {
				t.Error("nodes are drained that cannot be")
			}
		})
	}
}

func TestPlanLogs(t *testing.T) {
	p := load(t, shortFile)
	for _, tt := range []struct {
		days int
		have *logGroup
		want string
	}{
		{0, &logGroup{}, ""},
		{7, nil, ""},
		{7, &logGroup{exists: true, retention: 7}, ""},
		{7, &logGroup{}, "create /aws/lambda/cache; retention none to 7 days"},
		{7, &logGroup{exists: true}, "update /aws/lambda/cache; retention forever to 7 days"},
		{7, &logGroup{exists: true, retention: 30}, "update /aws/lambda/cache; retention 30 days to 7 days"},
	} {
		p.LogRetentionDays = tt.days
		plan, err := p.plan(observed{functions: deployed(p, "c"), logs: tt.have}, p.wanted("c"), planning{})
		if got := strings.Join(summary(plan), "\n"); err != nil || got != tt.want || plan.Loses {
			t.Errorf("%d days, %+v there: plan %q, %v, want %q", tt.days, tt.have, got, err, tt.want)
		}
	}
}

func TestDestruction(t *testing.T) {
	p := load(t, shortFile)
	have := deployed(p, "c")
	have[1].tags = nil
	have = append(have, function{place: place{"cache-9", 9}, settings: settings{tags: map[string]string{poolTag: "cache-"}}},
		function{place: place{"cache", allNodes}, settings: settings{tags: map[string]string{poolTag: "other"}}})
	plan := p.destruction(observed{functions: have})
	want := []string{"delete cache-9", "delete cache-3", "delete cache-2", "delete cache-0"}
	if got := summary(plan); !slices.Equal(got, want) || plan.drains || plan.Loses || len(plan.Notes) == 0 {
		t.Errorf("plan is %v %+v", got, plan)
	}
	if plan := p.destruction(observed{}); len(plan.Changes) != 0 || len(plan.Notes) != 0 {
		t.Errorf("of nothing: %+v", plan)
	}
}

// TestReadFunction sees that what the platform tells of a function that it was
// asked for is no difference, in all the ways it may tell nothing.
func TestReadFunction(t *testing.T) {
	p := load(t, shortFile)
	p.Concurrency = 0
	want := p.wanted("hash")
	at := p.functions()[0]
	configuration := func() *types.FunctionConfiguration {
		return &types.FunctionConfiguration{
			FunctionName: aws.String("cache-0"), FunctionArn: aws.String("arn"), CodeSha256: aws.String("hash"),
			Architectures: []types.Architecture{types.ArchitectureArm64}, MemorySize: aws.Int32(256), Timeout: aws.Int32(900),
			Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Role: aws.String(p.Role),
			LoggingConfig: &types.LoggingConfig{LogFormat: types.LogFormatText, LogGroup: aws.String("/aws/lambda/cache")},
			VpcConfig:     &types.VpcConfigResponse{SubnetIds: []string{}}, State: types.StateActive,
		}
	}
	for name, change := range map[string]func(*types.FunctionConfiguration) string{
		"":                     func(*types.FunctionConfiguration) string { return "" },
		"no VPC":               func(c *types.FunctionConfiguration) string { c.VpcConfig = nil; return "" },
		"no architecture":      func(c *types.FunctionConfiguration) string { c.Architectures = nil; return "architecture" },
		"no log configuration": func(c *types.FunctionConfiguration) string { c.LoggingConfig = nil; return "log group" },
		"log level": func(c *types.FunctionConfiguration) string {
			c.LoggingConfig.SystemLogLevel = types.SystemLogLevelWarn
			return "log level"
		},
	} {
		c := configuration()
		field := change(c)
		f := readFunction(at, c, maps.Clone(want.tags), nil)
		d := compare(f.settings, want)
		if field == "" && !d.none() || field != "" && (len(d.fields) != 1 || d.fields[0].Name != field) {
			t.Errorf("%s: differs in %v", name, d.fields)
		}
	}
	f := readFunction(at, configuration(), nil, &types.Concurrency{ReservedConcurrentExecutions: aws.Int32(0)})
	if d := compare(f.settings, want); !d.concurrency || d.retires() || d.tags[poolTag] != "cache-" {
		t.Errorf("a closed function without tags differs in %+v", d)
	}
}

func TestPlanIsWritten(t *testing.T) {
	p := load(t, shortFile)
	p.Nodes = 1
	plan, err := p.plan(observed{}, p.wanted("c"), planning{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := deploy.WritePlan(&b, plan.Changes); err != nil || b.String() != "+ create function cache-0\n1 to create, 0 to update, 0 to delete\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
