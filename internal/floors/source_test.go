package floors

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"testing"
)

// file is one Go source file of the module.
type file struct {
	path    string // from the module's root, with slashes
	pkg     string // its directory, "." for the root
	test    bool
	lines   int
	imports []string
	syntax  *ast.File
	at      *token.FileSet
}

// tree is every source file of the module, whatever system or tag it is for.
type tree []file

// load parses the module in root. It leaves out other modules inside it,
// testdata, hidden directories, and files that no build takes (ignore).
func load(root fs.FS) (tree, error) {
	var t tree
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if name != "." {
				base := d.Name()
				if base == "testdata" || base[0] == '.' || base[0] == '_' {
					return fs.SkipDir
				}
				if _, err := fs.Stat(root, path.Join(name, "go.mod")); err == nil {
					return fs.SkipDir
				}
			}
			return nil
		case path.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(text, []byte("//go:build ignore")) {
			return nil
		}
		at := token.NewFileSet()
		syntax, err := parser.ParseFile(at, name, text, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{
			path:   name,
			pkg:    path.Dir(name),
			test:   strings.HasSuffix(name, "_test.go"),
			lines:  bytes.Count(text, []byte{'\n'}),
			syntax: syntax,
			at:     at,
		}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			f.imports = append(f.imports, imported)
		}
		t = append(t, f)
		return nil
	})
	return t, err
}

// local returns the directory of a package of this module.
func local(imported string) (dir string, ok bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// reaches returns every package that dir needs, outside its tests, each with
// the chain of imports that leads there.
func (t tree) reaches(dir string) map[string]string {
	chains := map[string]string{}
	var visit func(dir, chain string)
	visit = func(dir, chain string) {
		for _, f := range t {
			if f.pkg != dir || f.test {
				continue
			}
			for _, imported := range f.imports {
				if _, seen := chains[imported]; seen {
					continue
				}
				chains[imported] = chain + " -> " + imported
				if next, ok := local(imported); ok {
					visit(next, chains[imported])
				}
			}
		}
	}
	visit(dir, dir)
	return chains
}

// uses returns where a file names one of the members of an imported package,
// as "os.Exit in line 7".
func (f file) uses(imported string, members ...string) []string {
	name := ""
	for _, spec := range f.syntax.Imports {
		if spec.Path.Value == strconv.Quote(imported) {
			name = path.Base(imported)
			if spec.Name != nil {
				name = spec.Name.Name
			}
		}
	}
	switch name {
	case "", "_":
		return nil
	case ".":
		return []string{"import of every name of " + imported}
	}
	var found []string
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
			for _, member := range members {
				if sel.Sel.Name == member {
					found = append(found, fmt.Sprintf("%s.%s in line %d", imported, member, f.at.Position(sel.Pos()).Line))
				}
			}
		}
		return true
	})
	return found
}

func (f file) goStatements() []string {
	var found []string
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if stmt, ok := n.(*ast.GoStmt); ok {
			found = append(found, fmt.Sprintf("go statement in line %d", f.at.Position(stmt.Pos()).Line))
		}
		return true
	})
	return found
}

// report fails the test with every complaint.
func report(t *testing.T, complaints []string) {
	t.Helper()
	for _, c := range complaints {
		t.Error(c)
	}
}
