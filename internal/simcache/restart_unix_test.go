//go:build unix

package simcache

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/journal"
)

const fullDiskDir = "SIMCACHE_FULL_DISK_DIR"

// A limit on the size of files stands for a full disk. It holds for a whole
// process, so the test is a child.
func TestDiskFullUnderTheJournal(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestDiskFullUnderTheJournalChild$", "-test.v")
	child.Env = append(os.Environ(), fullDiskDir+"="+t.TempDir())
	out, err := child.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestDiskFullUnderTheJournalChild")) {
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

func TestDiskFullUnderTheJournalChild(t *testing.T) {
	dir := os.Getenv(fullDiskDir)
	if dir == "" {
		t.Skip("runs as a child of TestDiskFullUnderTheJournal")
	}
	signal.Ignore(syscall.SIGXFSZ)
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 6, JournalDir: filepath.Join(dir, "journal")})
		c := w.Client()
		all := putAll(t, c, 6)
		time.Sleep(time.Second)
		file, err := os.Stat(filepath.Join(w.reign.cfg.JournalDir, journal.File))
		if err != nil {
			t.Fatal(err)
		}
		limitFiles(t, uint64(file.Size()))
		var full error
		last := ""
		for i := 0; full == nil && i < 5000; i++ {
			key := fmt.Sprintf("%s %d", strings.Repeat("filler", 500), i)
			if _, full = c.PutBytes(t.Context(), key, []byte("x")); full == nil {
				all[key] = []byte("x")
				last = key
			}
		}
		if !errors.Is(full, infinicache.ErrUnavailable) || !strings.Contains(fmt.Sprint(full), "journal") {
			t.Fatalf("put on a full disk: %v, want one that says that the journal cannot be written", full)
		}
		t.Log(full)
		// Reads go on; a delete is refused and says so; nothing else is at a loss.
		if n := found(t, c, all); n < len(all)-1 {
			t.Errorf("%d of %d objects are there while the disk is full", n, len(all))
		}
		if _, err := c.Delete(t.Context(), "k1"); !errors.Is(err, infinicache.ErrUnavailable) {
			t.Errorf("delete on a full disk: %v", err)
		}
		if _, err := c.GetBytes(t.Context(), "k1"); err == nil {
			t.Error("what was deleted without being acknowledged is shown")
		}
		limitFiles(t, 1<<62)
		time.Sleep(3 * time.Second) // it is tried again each second
		mustPut(t, c, "k1", content(201, 5000))
		all["k1"] = content(201, 5000)
		mustPut(t, c, "after", content(202, 5000))
		all["after"] = content(202, 5000)
		time.Sleep(time.Second)
		w.Kill()
		w.Restart()
		for key, want := range all {
			if got, err := c.GetBytes(t.Context(), key); err != nil || !bytes.Equal(got, want) {
				t.Errorf("get %.20s (the last acknowledged: %v) after the disk was full and the proxy killed: %v", key, key == last, err)
			}
		}
		w.NothingUnexplained()
	})
}
