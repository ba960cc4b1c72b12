// Package floors tests how the packages of this module lean on each other and
// what each of them may touch. It reads the source files themselves.
package floors

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
)

const module = "github.com/infinicache/infinicache"

// floors says on which floor each package stands. A package imports packages
// of lower floors only. One that is missing here fails the test.
var floors = map[string]int{
	"cmd/infinicache":      5,
	"cmd/infinicache-node": 5,

	"internal/bench":    4,
	"internal/replay":   4,
	"internal/simcache": 4,
	"internal/ledger":   4,

	"internal/e2e/knative": 5, // tests only, of the binaries

	".":                       3, // the client library
	"internal/proxy":          3,
	"internal/admin":          3,
	"internal/door/redis":     3,
	"internal/deploy/lambda":  3,
	"internal/deploy/knative": 3,

	"internal/deploy":                     2,
	"internal/image":                      2,
	"internal/pool":                       2,
	"internal/node":                       2,
	"internal/emulator":                   2,
	"internal/platform/lambda":            2,
	"internal/platform/knative":           2,
	"internal/platform/knative/miniature": 2,
	"internal/platform/conformance":       2,

	"internal/link":       1,
	"internal/tlslink":    1,
	"internal/activation": 1,
	"internal/stripe":     1,
	"internal/catalog":    1,
	"internal/store":      1,
	"internal/platform":   1,
	"internal/trace":      1,
	"internal/journal":    1,
	"internal/simnet":     1,
	"internal/loopback":   1,

	"internal/wire":      -1,
	"internal/resp":      0,
	"internal/erasure":   0,
	"internal/placement": 0,
	"internal/lifecycle": 0,
	"internal/latency":   0,
	"internal/pricing":   0,
	"internal/spend":     0,
	"internal/seal":      0,
	"internal/object":    -1,
	"internal/place":     -1,
	"internal/bytesize":  -1,

	"internal/floors": 0,
}

// testSupport are the packages that exist for tests, which alone import them.
var testSupport = map[string]bool{
	"internal/simnet":                     true,
	"internal/loopback":                   true,
	"internal/simcache":                   true,
	"internal/ledger":                     true,
	"internal/platform/conformance":       true,
	"internal/platform/knative/miniature": true,
}

// nodeNever are the packages, each with all below it, that the function's
// binary must not link: its size is cold-start time.
var nodeNever = []string{
	"github.com/aws/aws-sdk-go-v2",
	"github.com/aws/smithy-go",
	"github.com/prometheus",
	"github.com/spf13/cobra",
	"github.com/spf13/pflag",
	"k8s.io",
	module + "/internal/emulator",
	module + "/internal/platform/lambda",
	module + "/internal/platform/knative",
	module + "/internal/pool",
	module + "/internal/proxy",
	module + "/internal/door",
}

// outsideCmd are the files outside cmd that may read the environment or end
// the process, each with the reason.
var outsideCmd = map[string]string{
	"internal/platform/conformance/function.go": "a test's function, which exits when the suite asks it to",
	"internal/loopback/alone_linux.go":          "a test that is run again, in a network of its own",
}

// maxLines is how long a file may be that is not a test.
const maxLines = 800

// vague are names that say nothing of what is inside.
var vague = map[string]bool{
	"util": true, "utils": true, "helper": true, "helpers": true, "common": true,
	"types": true, "base": true, "manager": true, "misc": true,
}

func source(t *testing.T) tree {
	t.Helper()
	src, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestImportsGoDown(t *testing.T)           { report(t, importsGoDown(source(t))) }
func TestTestSupportStaysInTests(t *testing.T) { report(t, testSupportInTests(source(t))) }
func TestNodeStaysSmall(t *testing.T)          { report(t, nodeStaysSmall(source(t))) }
func TestOnlyCmdTouchesProcess(t *testing.T)   { report(t, onlyCmdTouchesProcess(source(t))) }
func TestNamesSaySomething(t *testing.T)       { report(t, namesSaySomething(source(t))) }
func TestFilesAreShort(t *testing.T)           { report(t, filesAreShort(source(t))) }
func TestGroundFloorIsPure(t *testing.T)       { report(t, groundFloorIsPure(source(t))) }

// importsGoDown leaves tests out: they may look at what stands above.
func importsGoDown(src tree) (complaints []string) {
	missing := map[string]bool{}
	for _, f := range src {
		floor, ok := floors[f.pkg]
		if !ok && !missing[f.pkg] {
			missing[f.pkg] = true
			complaints = append(complaints, fmt.Sprintf("%s: package is on no floor; add it to the table", f.pkg))
		}
		if !ok || f.test {
			continue
		}
		for _, imported := range f.imports {
			dir, ok := local(imported)
			if !ok {
				continue
			}
			below, ok := floors[dir]
			switch {
			case !ok:
				complaints = append(complaints, fmt.Sprintf("%s: imports %s, which is on no floor", f.path, dir))
			case below > floor:
				complaints = append(complaints, fmt.Sprintf("%s: floor %d imports up: %s is on floor %d", f.path, floor, dir, below))
			case below == floor:
				complaints = append(complaints, fmt.Sprintf("%s: floor %d imports sideways: %s", f.path, floor, dir))
			}
		}
	}
	return complaints
}

func testSupportInTests(src tree) (complaints []string) {
	for _, f := range src {
		if f.test || testSupport[f.pkg] {
			continue
		}
		for _, imported := range f.imports {
			if dir, ok := local(imported); ok && testSupport[dir] {
				complaints = append(complaints, fmt.Sprintf("%s: imports %s, which is for tests", f.path, dir))
			}
		}
	}
	return complaints
}

func nodeStaysSmall(src tree) (complaints []string) {
	for imported, chain := range src.reaches("cmd/infinicache-node") {
		for _, never := range nodeNever {
			if imported == never || strings.HasPrefix(imported, never+"/") {
				complaints = append(complaints, "the node binary links "+chain)
			}
		}
	}
	return complaints
}

func onlyCmdTouchesProcess(src tree) (complaints []string) {
	for _, f := range src {
		if _, ok := outsideCmd[f.path]; ok || f.test || strings.HasPrefix(f.pkg, "cmd/") {
			continue
		}
		found := f.uses("os", "Getenv", "LookupEnv", "Environ", "ExpandEnv", "Setenv", "Unsetenv", "Exit")
		found = append(found, f.uses("syscall", "Getenv", "Environ", "Exit")...)
		found = append(found, f.uses("log", "Fatal", "Fatalf", "Fatalln")...)
		for _, use := range found {
			complaints = append(complaints, fmt.Sprintf("%s: %s: only cmd reads the environment or exits", f.path, use))
		}
	}
	return complaints
}

func namesSaySomething(src tree) (complaints []string) {
	for _, f := range src {
		stem := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.path), ".go"), "_test")
		for _, name := range []string{stem, path.Base(f.pkg), f.syntax.Name.Name} {
			if vague[name] {
				complaints = append(complaints, fmt.Sprintf("%s: the name %q says nothing", f.path, name))
				break
			}
		}
	}
	return complaints
}

func filesAreShort(src tree) (complaints []string) {
	for _, f := range src {
		if !f.test && f.lines > maxLines {
			complaints = append(complaints, fmt.Sprintf("%s: %d lines, at most %d", f.path, f.lines, maxLines))
		}
	}
	return complaints
}

// groundFloorIsPure allows time's types and arithmetic, and nothing that looks
// at a clock.
func groundFloorIsPure(src tree) (complaints []string) {
	for _, f := range src {
		if floor, ok := floors[f.pkg]; !ok || floor > 0 || f.test {
			continue
		}
		found := f.goStatements()
		for _, imported := range f.imports {
			switch first, _, _ := strings.Cut(imported, "/"); first {
			case "net", "os", "log":
				found = append(found, "import of "+imported)
			}
		}
		found = append(found, f.uses("time", "Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep")...)
		found = append(found, f.uses("context", "WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc")...)
		for _, use := range found {
			complaints = append(complaints, fmt.Sprintf("%s: %s on floor 0, which is pure", f.path, use))
		}
	}
	return complaints
}
