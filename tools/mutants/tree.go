package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tree is a copy of the source tree, in which one mutant lives at a time.
type tree struct {
	dir    string
	tested map[string]bool // tests that pass in the unchanged copy
}

// left are the entries of the root that a copy does without.
var left = map[string]bool{".git": true, ".cache": true, "bin": true}

// copyTree copies a tree to a temporary directory. Modification times are kept,
// so that the cache of test results knows the files again.
func copyTree(root string) (*tree, error) {
	dir, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return nil, err
	}
	t := &tree{dir: dir, tested: map[string]bool{}}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		switch {
		case left[rel]:
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case d.Type().IsRegular():
			return copyFile(path, to)
		}
		return nil
	})
	if err != nil {
		t.remove()
		return nil, fmt.Errorf("copy %s: %w", root, err)
	}
	return t, nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, text, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

func (t *tree) remove() { _ = os.RemoveAll(t.dir) }

// change makes a mutant; restore undoes it.
func (t *tree) change(m mutant) (restore func(), err error) {
	if err := m.check(t.dir); err != nil {
		return nil, err
	}
	path := filepath.Join(t.dir, filepath.FromSlash(m.file))
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	after := strings.Replace(string(before), m.old, m.new, 1)
	if err := os.WriteFile(path, []byte(after), info.Mode().Perm()); err != nil {
		return nil, err
	}
	return func() {
		_ = os.WriteFile(path, before, info.Mode().Perm())
		_ = os.Chtimes(path, info.ModTime(), info.ModTime())
	}, nil
}
