package floors

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

// ofPlatforms are the packages, each with all below it, that may know a platform by
// name. The rest asks platform.Capabilities what one can do.
var ofPlatforms = []string{
	"cmd", // puts the parts together
	"internal/deploy",
	"internal/emulator",
	"internal/image",
	"internal/platform/conformance",
	"internal/platform/knative",
	"internal/platform/lambda",
	"internal/pricing", // price lists
	"internal/e2e",
	"internal/floors",
}

// platformName finds the name of a platform in a word or text of a program.
var platformName = regexp.MustCompile(`(?i)lambda|knative|cloud.?run|kubernetes|\bAWS|\bk8s`)

func TestOnlyDriversNamePlatforms(t *testing.T) { report(t, onlyDriversNamePlatforms(source(t))) }

// onlyDriversNamePlatforms looks at identifiers, imports and texts, not at comments,
// which may give examples, and not at tests.
func onlyDriversNamePlatforms(src tree) (complaints []string) {
	for _, f := range src {
		if f.test || under(f.pkg, ofPlatforms) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			var word string
			switch n := n.(type) {
			case *ast.Ident:
				word = n.Name
			case *ast.BasicLit:
				word = n.Value
			}
			if platformName.MatchString(word) {
				complaints = append(complaints, fmt.Sprintf("%s: %s in line %d names a platform", f.path, word, f.at.Position(n.Pos()).Line))
			}
			return true
		})
	}
	return complaints
}

// under tells whether a package is one of those, or below one.
func under(pkg string, dirs []string) bool {
	for _, dir := range dirs {
		if pkg == dir || strings.HasPrefix(pkg, dir+"/") {
			return true
		}
	}
	return false
}
