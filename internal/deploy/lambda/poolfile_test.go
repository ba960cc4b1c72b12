package lambda

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/infinicache/infinicache/internal/deploy"
)

const wholeFile = `
platform: lambda
prefix: cache-
nodes: 40
memory: 1536MiB
architecture: x86_64
region: eu-central-1
role: arn:aws:iam::123456789012:role/service/node
timeout: 600s
concurrency: 0
sessions: 900
tenants: true
vpc: {subnets: [subnet-2, subnet-1], securityGroups: [sg-1]}
tags: {team: storage, cost centre: "12"}
logRetentionDays: 7
logLevel: WARN
proxy: 10.0.0.5:6376
`

const shortFile = `
platform: lambda
prefix: cache-
nodes: 4
memory: 256MiB
role: arn:aws:iam::123456789012:role/node
`

// load reads a pool file that is well.
func load(t *testing.T, text string) Pool {
	t.Helper()
	p, err := Load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLoad(t *testing.T) {
	whole := Pool{
		Pool:         deploy.Pool{Platform: "lambda", Prefix: "cache-", Nodes: 40, Memory: 1536 << 20},
		Architecture: X8664, Region: "eu-central-1", Role: "arn:aws:iam::123456789012:role/service/node", Timeout: 10 * time.Minute,
		Sessions: 900, Tenants: true, VPC: VPC{[]string{"subnet-2", "subnet-1"}, []string{"sg-1"}},
		Tags: map[string]string{"team": "storage", "cost centre": "12"}, LogRetentionDays: 7, LogLevel: "WARN", Proxy: "10.0.0.5:6376",
	}
	if diff := cmp.Diff(whole, load(t, wholeFile)); diff != "" {
		t.Error(diff)
	}
	defaults := Pool{
		Pool:         deploy.Pool{Platform: "lambda", Prefix: "cache-", Nodes: 4, Memory: 256 << 20},
		Architecture: ARM64, Role: "arn:aws:iam::123456789012:role/node", Timeout: 15 * time.Minute, Concurrency: 2,
	}
	if diff := cmp.Diff(defaults, load(t, shortFile)); diff != "" {
		t.Error(diff)
	}
}

func TestLoadComplainsAboutEverythingAtOnce(t *testing.T) {
	_, err := Load([]byte(`
platform: knative
prefix: a b
nodes: many
memory: 1KiB
architecture: mips
region: moon
role: admin
timeout: soon
concurrency: -1
sessions: -5
tenants: maybe
nodez: 3
memori: 4
vpc: {subnets: [subnet-1, subnet-1, x], securityGroups: []}
tags: {"aws:x": v, "infinicache:pool": z, "50%": w}
logRetentionDays: 2
logLevel: LOUD
proxy: nowhere
`))
	if err == nil {
		t.Fatal("it is accepted")
	}
	for _, want := range []string{
		`platform: "knative" given`, `prefix: "a b" given, 1 to 54`, `line 4: nodes: "many" given, a whole number allowed`, `memory: 1KiB given, whole MiB from 128MiB to 10GiB`,
		`architecture: "mips" given, arm64 or x86_64`, `region: "moon"`, `role: "admin"`, `timeout: "soon" given, a duration like 900s`,
		`concurrency: -1 given`, `sessions: -5 given, 0 (no bound) to 1000000`, `line 12: tenants: "maybe" given, true or false allowed`, `nodez: no such field`, `memori: no such field`, `vpc: 3 subnets and 0 security groups`, `vpc.subnets[1]: "subnet-1" given twice`, `vpc.subnets[2]: "x"`,
		`tags.aws:x: keys that begin`, `tags.infinicache:pool: keys`, `tags.50%: a key of 3`, `logRetentionDays: 2 given, 0 or one of 1, 3, 5`,
		`logLevel: "LOUD"`, `proxy: "nowhere" given, host:port`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no complaint has %q", want)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 22 {
		t.Errorf("%d complaints:\n%v", lines, err)
	}
}

func TestLoadBounds(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"memory: 10241MiB", "memory:"}, {"memory: 128.5MiB", "memory:"}, {"memory: much", "memory:"}, {"memory: [1]", "memory:"},
		{"timeout: 901s", "timeout:"}, {"timeout: 1500ms", "timeout:"}, {"timeout: 900", "timeout:"}, {"timeout: 0s", "timeout:"},
		{"nodes: 0", "nodes:"}, {"nodes: 4097", "nodes:"}, {"nodes: 4\nnodes: 5", "line 7: nodes: given twice, once allowed"},
		{"shape: 4+1", `nodes: "4" given, 5 or more with shape 4+1 allowed`}, {"shape: some", `shape: "some" given, auto, or data+parity`},
		{"prefix: __-", "prefix:"}, {"prefix: ''", "prefix:"}, {"prefix: " + strings.Repeat("x", 55), "prefix:"},
		{"nodez: 4", "nodez: no such field"}, {"vpc: {subnets: [subnet-1]}", "vpc:"}, {"proxy: ':80'", "proxy:"}, {"proxy: a:0", "proxy:"},
		{"role: arn:aws:iam::12:role/x", "role:"}, {"tags: {a: '%'}", "tags.a:"}, {"\t:", "found a tab"},
		{"prefix: 5", "prefix: 5 given, a text allowed; if it is meant, put it in quotes"}, {"tags: {a: yes}", "tags.a: true given, a text allowed; if"}, {"tags: [a]", "tags: a list given, a mapping allowed"},
		{"vpc: 3", "vpc: 3 given, a mapping allowed"}, {"vpc: {subnet: a}", "vpc.subnet: no such field"}, {"vpc: {subnets: [subnet-1, 1], securityGroups: [sg-1]}", "vpc.subnets[1]: 1 given, a text allowed"}, {"Nodes: 4", "Nodes: no such field"}, {"nodes: 4.5", "nodes: 4.5 given, a whole number"},
		{"memory: [1]", "memory: a list given, a number of bytes like 256MiB allowed"}, {"vpc: {subnets: a}", "vpc.subnets: \"a\" given, a list allowed"},
	} {
		key, _, _ := strings.Cut(tt.line, ":")
		var rest []string
		for line := range strings.Lines(shortFile) {
			if !strings.HasPrefix(line, key+":") {
				rest = append(rest, line)
			}
		}
		_, err := Load([]byte(strings.Join(rest, "") + tt.line + "\n"))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") && !strings.HasPrefix(tt.line, "\t") && !strings.Contains(tt.line, "\n") {
			t.Errorf("%q: %v, want one complaint with %q", tt.line, err, tt.want)
		}
	}
	for _, line := range []string{"memory: 10240MiB", "memory: 134217728", "timeout: 15m", "timeout: 1s", "concurrency: 1000", "logLevel: DEBUG"} {
		key, _, _ := strings.Cut(line, ":")
		text := line + "\n"
		for l := range strings.Lines(shortFile) {
			if !strings.HasPrefix(l, key+":") {
				text += l
			}
		}
		if _, err := Load([]byte(text)); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestLoadWantsFields(t *testing.T) {
	for _, text := range []string{"[1, 2]", "lambda", "3"} {
		if _, err := Load([]byte(text)); err == nil || !strings.Contains(err.Error(), "lines such as") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Load(nil); err == nil || !strings.Contains(err.Error(), "nodes: 0 given") {
		t.Errorf("an empty file: %v", err)
	}
}

func TestPlaceOf(t *testing.T) {
	p := load(t, shortFile)
	for name, want := range map[string]int{"cache-0": 0, "cache-39": 39, "cache-4095": 4095, "cache": allNodes} {
		if at, ok := p.placeOf(name); !ok || at != (place{name, want}) {
			t.Errorf("placeOf(%q) = %v, %t", name, at, ok)
		}
	}
	for _, name := range []string{"cache-", "cache-01", "cache--1", "cache-4096", "cache-x", "cache-1x", "cache-99999999999999999999", "other-1", "cach", ""} {
		if at, ok := p.placeOf(name); ok {
			t.Errorf("placeOf(%q) = %v", name, at)
		}
	}
	for node, at := range p.functions() {
		if got, ok := p.placeOf(at.function); !ok || got != at || got.node != node {
			t.Errorf("node %d is at %v, which is read as %v", node, at, got)
		}
	}
}
