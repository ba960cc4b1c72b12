//go:build unix

package journal

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const childDir = "JOURNAL_TEST_DIR"

// A limit on the size of files stands for a full disk. It holds for a whole
// process, so the test is a child.
func TestDiskFull(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestDiskFullChild$", "-test.v")
	child.Env = append(os.Environ(), childDir+"="+t.TempDir())
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestDiskFullChild")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
	l.Cur = min(size, l.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		t.Fatal(err)
	}
}

func TestDiskFullChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("runs as a child of TestDiskFull")
	}
	signal.Ignore(syscall.SIGXFSZ)
	var log bytes.Buffer
	j, _, err := Open(dir, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkload(j, 5)
	for range 50 {
		w.step(t)
	}
	for j.take() {
		if err := j.write(); err != nil {
			t.Fatal(err)
		}
	}
	prefixes := []content{w.model.clone()} // from what is durable on

	limitFiles(t, uint64(j.Status().FileBytes))
	// A batch that does not fit: its waits fail, and it stays queued.
	for range 5 {
		for range 3 {
			w.step(t)
			prefixes = append(prefixes, w.model.clone())
		}
		r := record(w.version+1, strings.Repeat("k", 60_000), 400)
		w.version++
		places := spread(w.r, 400)
		if _, err := j.Put(r, places, 0); err != nil {
			t.Fatal(err)
		}
		w.model.Objects[r.Version] = object{r, places}
		prefixes = append(prefixes, w.model.clone())
	}
	wait := j.DropHolder(99)
	stop := running(t, j)
	if err := wait(t.Context()); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "too large") {
		t.Fatalf("wait on a full disk: %v", err)
	}
	// Additions are refused at once, removals are queued and say so at once.
	if _, err := j.Put(record(1<<40, "new", 0), nil, 0); !errors.Is(err, ErrFailed) {
		t.Errorf("Put while failing: %v", err)
	}
	if _, err := j.Expire(1, 0); !errors.Is(err, ErrFailed) {
		t.Errorf("Expire while failing: %v", err)
	}
	o, _ := w.any()
	began := time.Now()
	if err := j.Remove(o.Record.Key, o.Record.Version)(t.Context()); !errors.Is(err, ErrFailed) || time.Since(began) >= Patience {
		t.Errorf("Remove while failing: %v after %v", err, time.Since(began))
	}
	delete(w.model.Objects, o.Record.Version)
	if err := j.Settled(o.Record.Key)(t.Context()); !errors.Is(err, ErrFailed) {
		t.Errorf("a key whose removal is in doubt: %v", err)
	}
	if s := j.Status(); s.Since.IsZero() || s.Error == nil || s.Failures == 0 || s.Queued == 0 {
		t.Errorf("status while failing: %+v", s)
	}
	// A crash now shows what was written before, nothing else.
	limitFiles(t, 1<<62)
	crashed := copyFile(t, dir)
	limitFiles(t, uint64(j.Status().FileBytes))
	c, s, err := Open(crashed, Config{})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, s)
	if !slices.ContainsFunc(prefixes, func(c content) bool { return cmp.Equal(c, got) }) {
		t.Errorf("after a crash on a full disk: %s", cmp.Diff(prefixes[0], got))
	}
	_ = c.Close()

	// With room again everything is written, in order.
	limitFiles(t, 1<<62)
	for j.Status().Queued > 0 {
		settleEventually(t, j)
	}
	if s := j.Status(); !s.Since.IsZero() || s.Queued != 0 || s.QueuedBytes != 0 {
		t.Errorf("status afterwards: %+v", s)
	}
	settle(t, w.step(t))
	settle(t, j.DropHolder(99))
	stop()
	_ = j.Close()
	_, s = open(t, dir)
	if diff := cmp.Diff(w.model, read(t, s)); diff != "" {
		t.Errorf("after the disk had room again: %s", diff)
	}
	text := log.String()
	if strings.Count(text, "journal cannot be written") != 1 || strings.Count(text, "journal works again") != 1 {
		t.Errorf("log:\n%s", text)
	}
}

// settleEventually waits for a change until writing works.
func settleEventually(t *testing.T, j *Journal) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-tick.C {
		if j.DropHolder(99)(t.Context()) == nil {
			return
		}
	}
	t.Fatal("writing does not work again")
}
