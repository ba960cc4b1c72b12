package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/deploy/knative"
	"github.com/infinicache/infinicache/internal/placement"
)

// Flags that the proxy would end at are complained about before there is a proxy that
// ends.
func TestProxyFlagsOfAPool(t *testing.T) {
	for flag, want := range map[string]string{
		"--shape=2+2":                 "",
		"--shape=5+2":                 "--shape: 5+2 given with 6 nodes, which needs 7",
		"--warm-every=0":              "",
		"--encryption-key-file=/k":    "",
		"--shap=2+2":                  "unknown flag: --shap",
		"--warm-every=often":          `--warm-every: "often" given`,
		"--nodes=9":                   "--nodes: given with --pool",
		"--journal-every --shape=2+2": "unknown flag",
		"--help":                      "help",
	} {
		file := filepath.Join(t.TempDir(), "pool.yaml")
		text := "platform: knative\nprefix: c-\nnodes: 6\nshape: 4+2\nmemory: 256MiB\nimage: a/b:1\nproxyImage: a/c:1\nproxyFlags: ['" + flag + "']\n"
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

// TestShapeOfAPool sees that the proxy takes the shape of the pool file, on each platform,
// unless it is given another.
func TestShapeOfAPool(t *testing.T) {
	for _, rest := range []string{"platform: knative\nimage: a/b:1\nproxyImage: a/c:1\n", "platform: lambda\nrole: arn:aws:iam::123456789012:role/node\n"} {
		file := filepath.Join(t.TempDir(), "pool.yaml")
		if err := os.WriteFile(file, []byte(rest+"prefix: c-\nnodes: 6\nshape: 4+2\nmemory: 256MiB\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ flag, want string }{{"--nothing=", "4+2"}, {"--shape=3+1", "3+1"}, {"--shape=auto", "auto"}} {
			f := flagsOf(&cobra.Command{})
			s, p := systemConfig{functions: defaultFunctions()}, defaultProxy()
			s.declarePool(f, &p)
			p.declare(f, &s.functions)
			f.cmd.Flags().String("nothing", "", "")
			if err := errors.Join(f.cmd.ParseFlags([]string{"--pool=" + file, c.flag}), f.check()); err != nil {
				t.Fatal(err)
			}
			if got := placement.FormatShape(p.shape); got != c.want {
				t.Errorf("%s: shape %s, want %s", c.flag, got, c.want)
			}
		}
	}
}
