package lambda

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/loopback"
)

// found is the finding about a subject.
func found(t *testing.T, findings []Finding, subject string) Finding {
	t.Helper()
	for _, f := range findings {
		if f.Subject == subject {
			return f
		}
	}
	t.Errorf("nothing was found about %s: %+v", subject, findings)
	return Finding{}
}

func check(t *testing.T, d *Deployer) []Finding {
	t.Helper()
	findings, err := d.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Status != OK && f.Status != Skipped && f.Mend == "" {
			t.Errorf("nothing is said to mend %+v", f)
		}
	}
	return findings
}

func TestCheck(t *testing.T) {
	proxy, err := net.Listen("tcp", loopback.Unused(t).String())
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	e := embedded(t, slowly)
	d := deployer(t, e, "v1", func(c *Config) { c.Pool.Proxy = proxy.Addr().String(); c.Pool.LogRetentionDays = 7 })

	// Before anything is deployed.
	findings := check(t, d)
	if Fails(findings) {
		t.Errorf("found %+v", findings)
	}
	if f := found(t, findings, "functions"); f.Status != Warning || !strings.Contains(f.Found, "4 of 4 do not exist") {
		t.Errorf("functions: %+v", f)
	}
	if f := found(t, findings, "logs"); f.Status != Warning || !strings.Contains(f.Found, "not made yet") {
		t.Errorf("logs: %+v", f)
	}
	if f := found(t, findings, "proxy"); f.Status != Skipped {
		t.Errorf("proxy: %+v", f)
	}

	// Deployed, and all is well.
	run(t, d)
	before := e.Calls("CreateFunction")
	for _, f := range check(t, d) {
		if f.Status != OK {
			t.Errorf("found %+v", f)
		}
	}
	if e.Calls("CreateFunction") != before || e.Calls("UpdateFunctionConfiguration") != 0 {
		t.Error("a check changes something")
	}
	unchanged(t, d)

	// Something differs, and the proxy is gone.
	proxy.Close()
	d.cfg.Pool.Memory, d.cfg.Pool.Nodes = 512<<20, 5
	findings = check(t, d)
	if f := found(t, findings, "proxy"); f.Status != Failure || !strings.Contains(f.Found, "does not reach "+proxy.Addr().String()) || !strings.Contains(f.Mend, "public IPv4") {
		t.Errorf("proxy: %+v", f)
	}
	if !Fails(findings) {
		t.Error("an unreachable proxy is no failure")
	}
	var texts []string
	for _, f := range findings {
		texts = append(texts, f.Found)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"1 of 5 do not exist: cache-4", "4 of 5 differ from the pool file: cache-0, cache-1"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q was not found:\n%s", want, all)
		}
	}

	// With another program in the functions.
	run(t, deployer(t, e, "v1", func(c *Config) { c.Pool.VPC = VPC{[]string{"subnet-1"}, []string{"sg-1"}}; c.LoseObjects = true }))
	d.cfg.Pool.VPC = VPC{[]string{"subnet-1"}, []string{"sg-1"}}
	if f := found(t, check(t, d), "proxy"); !strings.Contains(f.Mend, "security group") || strings.Contains(f.Mend, "public") {
		t.Errorf("proxy from a VPC: %+v", f)
	}
}

func TestCheckOfTenantsProbes(t *testing.T) {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	d := deployer(t, embedded(t, slowly), "v1", func(c *Config) { c.Pool.Tenants, c.Pool.Proxy = true, proxy.Addr().String() })
	run(t, d)
	if f := found(t, check(t, d), "proxy"); f.Status != OK || !strings.Contains(f.Found, "cache (v1) reaches") {
		t.Errorf("proxy: %+v", f)
	}
}

func TestCheckFindsStrangersAndDenials(t *testing.T) {
	e := embedded(t, emulator.Control{Unthrottled: true, Concurrency: 100, Faults: []emulator.Fault{{
		Operation: "UpdateFunctionCode", Status: 403, Type: "AccessDeniedException",
		Message: "User: x is not authorized to perform: lambda:UpdateFunctionCode on resource: y",
	}}})
	d := deployer(t, e, "v1", func(c *Config) { c.Pool.Concurrency = 0 })
	run(t, d)
	d.cfg.Pool.Concurrency = 30
	findings := check(t, d)
	if f := found(t, findings, "permissions"); f.Status != Failure || !strings.Contains(f.Found, "lambda:UpdateFunctionCode") || !strings.Contains(f.Mend, "--policy deployer") {
		t.Errorf("permissions: %+v", f)
	}
	if f := found(t, findings, "concurrency"); f.Status != Failure || !strings.Contains(f.Found, "4 nodes reserve 30 each, 120 in all") {
		t.Errorf("concurrency: %+v", f)
	}
	d.cfg.Pool.Nodes = 6
	stranger(t, d, "cache-5", nil)
	if f := found(t, check(t, d), "functions"); f.Status != Failure || !strings.Contains(f.Found, "cache-5") {
		t.Errorf("functions: %+v", f)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	d := deployer(t, embedded(t, slowly), "v1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Check(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Check = %v", err)
	}
}

func TestJudgeConcurrency(t *testing.T) {
	for _, tt := range []struct {
		name                            string
		nodes, concurrency, total, free int
		tenants                         bool
		held                            int // by each of two functions
		want                            Status
	}{
		{"fits", 40, 2, 1000, 1000, false, 0, OK},
		{"just fits", 450, 2, 1000, 1000, false, 0, OK},
		{"one too many", 451, 2, 1000, 1000, false, 0, Failure},
		{"others hold some", 450, 2, 1000, 999, false, 0, Failure},
		{"what it holds itself is not taken twice", 450, 2, 1000, 998, false, 1, OK},
		{"small account", 10, 2, 30, 30, false, 0, OK},
		{"small account, too many", 11, 2, 30, 30, false, 0, Failure},
		{"none reserved", 40, 0, 1000, 1000, false, 0, OK},
		{"none reserved, none free", 40, 0, 1000, 39, false, 0, Warning},
		{"tenants", 400, 2, 1000, 1000, true, 0, OK},
		{"tenants beyond their limit", 2501, 0, 1000, 1000, true, 0, Failure},
	} {
		p := load(t, shortFile)
		p.Nodes, p.Concurrency, p.Tenants = tt.nodes, tt.concurrency, tt.tenants
		var have []function
		for range 2 {
			have = append(have, function{settings: settings{concurrency: tt.held, tags: map[string]string{poolTag: p.Prefix}}})
		}
		have = append(have, function{settings: settings{concurrency: 500}}, function{settings: settings{concurrency: closed, tags: map[string]string{poolTag: p.Prefix}}})
		limit := types.AccountLimit{ConcurrentExecutions: int32(tt.total), UnreservedConcurrentExecutions: aws.Int32(int32(tt.free))}
		if f := p.judgeConcurrency(limit, have); f.Status != tt.want || (f.Mend == "") != (tt.want == OK) {
			t.Errorf("%s: %+v, want %s", tt.name, f, tt.want)
		}
	}
}
