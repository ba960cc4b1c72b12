package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is one change for the worse.
type mutant struct {
	name     string
	file     string // from the root, with slashes
	old, new string // text that is in the file exactly once, and what to put there
	tests    string // what follows go test: the packages, and flags, that must notice
}

// check tells why a mutant cannot be made.
func (m mutant) check(root string) error {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	if n := bytes.Count(text, []byte(m.old)); n != 1 {
		return fmt.Errorf("%s: its text is %d times in %s, want once:\n%s", m.name, n, m.file, m.old)
	}
	return nil
}

type fate string

const (
	killed   fate = "killed"
	survived fate = "SURVIVED"
	invalid  fate = "INVALID"
)

type verdict struct {
	mutant mutant
	fate   fate
	by     string // the test that noticed
	output string // of the tests
	took   time.Duration
}

// judge runs the tests of a mutant in a copy, first without it and then with it.
func (m mutant) judge(ctx context.Context, t *tree, timeout time.Duration) verdict {
	began := time.Now()
	v := verdict{mutant: m}
	v.fate, v.output = m.fate(ctx, t, timeout)
	if v.fate == killed {
		v.by = firstFailure(v.output)
	}
	v.took = time.Since(began)
	return v
}

func (m mutant) fate(ctx context.Context, t *tree, timeout time.Duration) (fate, string) {
	if out, err := t.test(ctx, m.tests, timeout, t.tested); err != nil && !t.tested[m.tests] {
		return invalid, "its tests fail without it:\n" + out
	}
	t.tested[m.tests] = true
	restore, err := t.change(m)
	if err != nil {
		return invalid, err.Error()
	}
	defer restore()
	out, err := t.test(ctx, m.tests, timeout, nil)
	switch {
	case err == nil:
		return survived, out
	case ctx.Err() != nil:
		return invalid, ctx.Err().Error()
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return invalid, out
	}
	return killed, out
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// firstFailure names the innermost test that failed first.
func firstFailure(output string) string {
	if strings.Contains(output, "panic: test timed out") {
		return "timeout"
	}
	names := failed.FindAllStringSubmatch(output, -1)
	name := ""
	for _, n := range names {
		if name == "" || strings.HasPrefix(n[1], name+"/") {
			name = n[1]
		}
	}
	switch {
	case name != "":
		return name
	case strings.Contains(output, "panic:"):
		return "panic"
	}
	return "?"
}

// test runs go test in a copy. Tests that passed before, in tested, are not run
// again.
func (t *tree) test(ctx context.Context, tests string, timeout time.Duration, tested map[string]bool) (string, error) {
	if tested[tests] {
		return "", nil
	}
	args := []string{"test", "-trimpath", "-vet=off", "-failfast", "-timeout", timeout.String()}
	if tested == nil {
		args = append(args, "-count=1")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, strings.Fields(tests)...)...)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error(), err
	}
	return string(out), err
}
