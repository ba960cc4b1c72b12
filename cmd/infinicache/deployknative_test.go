package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/infinicache/infinicache/internal/deploy/knative"
)

// Flags that the proxy would end at are complained about before there is a proxy that
// ends.
func TestProxyFlagsOfAPool(t *testing.T) {
	for flag, want := range map[string]string{
		"--shape=2+2":                 "",
		"--warm-every=0":              "",
		"--encryption-key-file=/k":    "",
		"--shap=2+2":                  "unknown flag: --shap",
		"--warm-every=often":          `--warm-every: "often" given`,
		"--nodes=9":                   "--nodes: given with --pool",
		"--journal-every --shape=2+2": "unknown flag",
		"--help":                      "help",
	} {
		file := filepath.Join(t.TempDir(), "pool.yaml")
		text := "platform: knative\nprefix: c-\nnodes: 6\nmemory: 256MiB\nimage: a/b:1\nproxyImage: a/c:1\nproxyFlags: ['" + flag + "']\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		pool, err := knative.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		err = checkProxyFlags(file, pool)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", flag, err, want)
		}
	}
}
