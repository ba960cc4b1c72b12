package lambda

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write what is wanted in testdata")

// TestPolicies compares with testdata/policy, which is read as a person would.
func TestPolicies(t *testing.T) {
	whole, short := load(t, wholeFile), load(t, shortFile)
	for name, text := range map[string]Policy{
		"deployer":     short.Policy(PartyDeployer, ""),
		"deployer-vpc": whole.Policy(PartyDeployer, "eu-central-1"),
		"proxy":        short.Policy(PartyProxy, "eu-central-1"),
		"function":     short.Policy(PartyFunction, "eu-central-1"),
		"function-vpc": whole.Policy(PartyFunction, "eu-central-1"),
		"trust":        short.Policy(PartyTrust, ""),
	} {
		var got bytes.Buffer
		enc := json.NewEncoder(&got)
		enc.SetIndent("", "  ")
		if err := enc.Encode(text); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "policy", name+".json")
		if *rewrite {
			if err := os.WriteFile(path, got.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestPolicyHasEveryCall compares the deployer's policy with the calls in this
// package's source.
func TestPolicyHasEveryCall(t *testing.T) {
	p := load(t, shortFile)
	p.LogRetentionDays = 7
	var allowed []string
	for _, s := range p.Policy(PartyDeployer, "").Statement {
		allowed = append(allowed, s.Action...)
	}
	call := regexp.MustCompile(`\b(lambda|cloudwatchlogs)\.([A-Z]\w+)Input\{`)
	used := []string{
		"lambda:ListTags",       // without which GetFunction tells no tags
		"lambda:InvokeFunction", // of a probe
		"iam:PassRole",          // which creating and updating need
		"logs:TagResource",      // of a log group that is created with tags
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			service := map[string]string{"lambda": "lambda", "cloudwatchlogs": "logs"}[m[1]]
			used = append(used, service+":"+m[2])
		}
	}
	slices.Sort(used)
	slices.Sort(allowed)
	if diff := cmp.Diff(slices.Compact(used), slices.Compact(allowed)); diff != "" {
		t.Errorf("calls and policy differ: %s", diff)
	}
}
