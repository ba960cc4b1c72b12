//go:build e2e

// Package knative plays scenarios over pools that the real binaries deploy to a real
// cluster with Knative Serving. `make e2e-knative` runs it.
package knative

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// setting is what the environment says.
type setting struct{ name, meaning string }

// Without the first three nothing can be tested.
var (
	kubeconfig = setting{"KUBECONFIG", "the kubeconfig file of a cluster with Knative Serving"}
	importer   = setting{"E2E_IMPORT", "a command that brings an image to the cluster; it is given the path of an archive, and the image's name as $E2E_IMAGE, " +
		"as in E2E_IMPORT='ctr -n k8s.io images import', 'kind load image-archive', or a script that pushes to a registry"}
	binaries = setting{"E2E_BIN", "the directory with infinicache and infinicache-node"}
	registry = setting{"E2E_REGISTRY", "how names of images begin; without it dev.local, which Knative does not look up"}
	volumes  = setting{"E2E_VOLUMES", "a directory of the cluster's only machine, which is this one, for volumes where the cluster has no default storage class"}
	kubectl  = setting{"E2E_KUBECTL", "a kubectl to forward ports with, where addresses of services cannot be reached from here"}
)

func (s setting) value() string { return os.Getenv(s.name) }

// missing says what the environment lacks.
func missing() error {
	var faults []error
	for _, s := range []setting{kubeconfig, importer, binaries} {
		if s.value() == "" {
			faults = append(faults, fmt.Errorf("%s is not set: needed is %s", s.name, s.meaning))
		}
	}
	return errors.Join(faults...)
}

// patience bounds the whole suite. What it made is deleted after it, so that it must
// be below the time limit of go test.
const patience = 20 * time.Minute

// at is the cluster, for all tests.
var at *cluster

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the suite has run for %v", patience))
	defer cancel()
	os.Exit(runAll(ctx, m))
}

// runAll runs the tests and deletes what they made, however they end.
func runAll(ctx context.Context, m *testing.M) (code int) {
	complain := func(err error) int {
		fmt.Fprintln(os.Stderr, "e2e:", strings.ReplaceAll(err.Error(), "\n", "\ne2e: "))
		return 1
	}
	if err := missing(); err != nil {
		return complain(err)
	}
	var err error
	if at, err = newCluster(ctx); err != nil {
		return complain(err)
	}
	defer func() {
		if err := at.remove(); err != nil {
			code = complain(fmt.Errorf("what the tests made is not all deleted: %w", err))
		}
	}()
	if err := at.prepare(ctx); err != nil {
		return complain(err)
	}
	ended := make(chan int, 1)
	go func() { ended <- m.Run() }()
	select {
	case code = <-ended:
	case <-ctx.Done():
		code = complain(context.Cause(ctx))
	}
	return code
}

// infinicache runs the command and returns what it prints to standard output. What it
// tells on standard error is in the error, and returned apart.
func infinicache(ctx context.Context, args ...string) (out, told string, err error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, filepath.Join(binaries.value(), "infinicache"), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("infinicache %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), stderr.String(), err
}

// load makes an image of a program, or of the node or the proxy without one, and
// brings it to the cluster.
func load(ctx context.Context, dir, kind, name, program string) error {
	archive := filepath.Join(dir, strings.NewReplacer("/", "_", ":", "_").Replace(name)+".tar")
	args := []string{"image", "--" + kind, "--arch", at.arch, "--name", name, "-o", archive}
	if program != "" {
		args = append(args, "--binary", program)
	}
	if _, _, err := infinicache(ctx, args...); err != nil {
		if at.arch != runtime.GOARCH {
			err = fmt.Errorf("the cluster's machines are %s: %w", at.arch, err)
		}
		return err
	}
	defer os.Remove(archive)
	cmd := exec.CommandContext(ctx, "sh", "-c", importer.value()+` "$1"`, "import", archive)
	cmd.Env = append(os.Environ(), "E2E_IMAGE="+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s=%q does not take %s: %w\n%s", importer.name, importer.value(), archive, err, out)
	}
	return nil
}

// await looks every now and then until it is so, and fails the test if it is not in
// time.
func await(t *testing.T, patience time.Duration, what string, so func() bool) time.Duration {
	t.Helper()
	const every = 50 * time.Millisecond
	began := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !so() {
		if time.Since(began) > patience {
			t.Fatalf("after %v it is not so: %s", patience, what)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("waiting: %s: %v", what, t.Context().Err())
		}
	}
	return time.Since(began)
}

// pause lets time go by in which nobody asks for anything.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// report tells what was measured.
func report(t *testing.T, what, format string, args ...any) {
	t.Helper()
	fmt.Printf("    %-52s %s\n", what+":", fmt.Sprintf(format, args...))
}
