package lambda

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
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
