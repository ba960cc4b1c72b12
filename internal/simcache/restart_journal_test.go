package simcache

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/wire"
)

// logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) has(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), words)
}

// putAll stores n objects of several sizes and returns them.
func putAll(t *testing.T, c *infinicache.Client, n int) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for i := range n {
		key := fmt.Sprint("k", i)
		all[key] = content(uint64(i), 1000+i*i*9_000)
		mustPut(t, c, key, all[key])
	}
	return all
}

// found is how many of the objects are there; none may be wrong.
func found(t *testing.T, c *infinicache.Client, all map[string][]byte) (n int) {
	t.Helper()
	for key, want := range all {
		got, err := c.GetBytes(t.Context(), key)
		switch {
		case err == nil && !bytes.Equal(got, want):
			t.Errorf("get %s: %d bytes that are not its own", key, len(got))
		case err == nil:
			n++
		case !errors.Is(err, infinicache.ErrNotFound):
			t.Errorf("get %s: %v", key, err)
		}
	}
	return n
}

func TestWhatWasMadeInvalidStaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := journalled(t, Config{})
		c := w.Client()
		put := func(key string, o ...infinicache.PutOption) {
			if _, err := c.PutBytes(t.Context(), key, content(1, 700_000), o...); err != nil {
				t.Fatal(err)
			}
		}
		put("flushed")
		if err := w.Proxy.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		put("deleted")
		put("short", infinicache.WithTTL(5*time.Second))
		put("shortened", infinicache.WithTTL(time.Hour))
		put("prolonged", infinicache.WithTTL(5*time.Second))
		put("kept")
		mustPut(t, c, "kept", content(2, 800_000))
		for key, d := range map[string]time.Duration{"shortened": 5 * time.Second, "prolonged": time.Hour} {
			if _, _, err := w.Proxy.SetExpiry(t.Context(), key, func(object.Info) (time.Time, bool) { return time.Now().Add(d), true }); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Delete(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
		w.Kill()
		time.Sleep(2 * time.Second)
		w.Restart()
		mustGet(t, c, "short", content(1, 700_000))
		w.Kill()
		time.Sleep(4 * time.Second)
		w.Restart()
		for _, key := range []string{"flushed", "deleted", "short", "shortened"} {
			mustMiss(t, c, key, "never-stored")
		}
		mustGet(t, c, "prolonged", content(1, 700_000))
		mustGet(t, c, "kept", content(2, 800_000))
		w.NothingUnexplained()
	})
}

func TestNodesKeepNothingThatTheJournalDoesNotName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := journalled(t, Config{Warm: time.Minute})
		c := w.Client()
		all := putAll(t, c, 12)
		// Chunks of a version that was under way, of a deleted object whose nodes
		// sleep, and of one that expires while nobody reigns.
		if _, err := c.PutBytes(t.Context(), "expires", content(1, 3<<20), infinicache.WithTTL(time.Minute)); err != nil {
			t.Fatal(err)
		}
		mustPut(t, c, "deleted", content(2, 5<<20))
		time.Sleep(5 * time.Second)
		if _, err := c.Delete(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
		half := w.Client().Writer(t.Context(), "under way")
		if _, err := half.Write(content(3, 50<<20)); err != nil {
			t.Fatal(err)
		}
		w.Kill()
		half.Abort()
		time.Sleep(2 * time.Minute)
		w.Restart()
		time.Sleep(4 * time.Minute)
		w.nothingButNamed()
		if n := found(t, c, all); n != len(all) {
			t.Errorf("%d of %d objects are there", n, len(all))
		}
	})
}

func TestRestartWithFewerAndWithMoreNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := journalled(t, Config{Nodes: 16})
		c := w.Client()
		all := putAll(t, c, 30)
		time.Sleep(5 * time.Second) // stragglers are repaired
		w.Kill()
		time.Sleep(time.Second)
		w.Restart(func(pc *proxy.Config) { pc.Pool.Nodes = 14 })
		there := found(t, c, all)
		t.Logf("%d of %d objects are there with 14 of 16 nodes", there, len(all))
		if there != len(all) {
			t.Errorf("%d of %d objects are there though no stripe misses more than its parity", there, len(all))
		}
		time.Sleep(time.Minute)
		w.Kill()
		w.Restart(func(pc *proxy.Config) { pc.Pool.Nodes = 20 })
		if n := found(t, c, all); n != there {
			t.Errorf("%d objects are there with 20 nodes, %d were with 14", n, there)
		}
		mustPut(t, c, "new", content(1, 10<<20))
		mustGet(t, c, "new", content(1, 10<<20))
		w.Kill()
		w.Restart(func(pc *proxy.Config) { pc.Pool.Nodes = 3 })
		n := found(t, c, all)
		t.Logf("%d of %d objects are there with 3 nodes", n, len(all))
		mustPut(t, c, "few", content(2, 100_000))
		mustGet(t, c, "few", content(2, 100_000))
		w.NothingUnexplained()
	})
}

func TestJournalIsGoneOrDamaged(t *testing.T) {
	damage := func(t *testing.T, file string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 2 * os.Getpagesize(); i < len(b); i += 97 {
			b[i] ^= 0x55
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, file string) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		harm   func(t *testing.T, file string)
		adopt  bool
		log    string
		keeper bool // the file is set aside
	}{
		{"gone", remove, false, "", false},
		{"gone, adopt", remove, true, "objects adopted without a journal", false},
		{"damaged", damage, false, "journal unusable: its objects are forgotten", true},
		{"damaged, adopt", damage, true, "objects adopted without a journal", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logbook
				w := journalled(t, Config{Warm: time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				c := w.Client()
				all := putAll(t, c, 15)
				if _, err := c.Delete(t.Context(), "k7"); err != nil {
					t.Fatal(err)
				}
				mustPut(t, c, "k8", content(108, 2<<20))
				_, started := w.Platform.Invocations()
				old := all["k8"]
				all["k8"] = content(108, 2<<20)
				w.Kill()
				tt.harm(t, filepath.Join(w.reign.cfg.JournalDir, journal.File))
				w.Restart(func(pc *proxy.Config) { pc.Adopt = tt.adopt })
				if !tt.adopt {
					for key := range all {
						mustMiss(t, c, key, "never-stored", "lost")
					}
				}
				time.Sleep(time.Minute)
				_, resurrected := c.GetBytes(t.Context(), "k7")
				delete(all, "k7")
				if got, err := c.GetBytes(t.Context(), "k8"); err == nil && bytes.Equal(got, old) {
					t.Log("the version that had been replaced came back")
					delete(all, "k8")
				}
				n := found(t, c, all)
				t.Logf("%d of %d objects are there, the deleted one: %v", n, len(all), resurrected)
				if _, now := w.Platform.Invocations(); tt.adopt && now != started {
					t.Errorf("%d instances were started beside those that are to be adopted", now-started)
				}
				switch {
				case tt.adopt && n != len(all):
					t.Errorf("%d of %d objects were adopted", n, len(all))
				case !tt.adopt && (n != 0 || resurrected == nil):
					t.Errorf("%d objects are there that nobody knows of", n)
				}
				// It works as ever, and the next restart knows what was adopted.
				mustPut(t, c, "new", content(1, 3<<20))
				time.Sleep(time.Second) // first versions are written behind their answers
				w.Kill()
				w.Restart()
				mustGet(t, c, "new", content(1, 3<<20))
				if again := found(t, c, all); again != n {
					t.Errorf("%d objects after one more restart, %d before", again, n)
				}
				time.Sleep(4 * time.Minute)
				w.nothingButNamed()
				w.NothingUnexplained()
				if !log.has(tt.log) {
					t.Errorf("the log does not say %q", tt.log)
				}
				aside, _ := filepath.Glob(filepath.Join(filepath.Dir(w.cfg.JournalDir), "*", "*.unusable-*"))
				if (len(aside) == 1) != tt.keeper {
					t.Errorf("set aside: %v", aside)
				}
			})
		})
	}
}

func TestJournalOfAnotherProxyIsLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := journalled(t, Config{})
		c := w.Client()
		mustPut(t, c, "k", content(1, 1<<20))
		second := newReign(w, "rival", 9, w.cfg.JournalDir)
		err := second.begin()
		if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), w.cfg.JournalDir) {
			t.Errorf("a second proxy with the same journal: %v, want one that it is locked, and where", err)
		}
		mustGet(t, c, "k", content(1, 1<<20))
		// A proxy that ended in order gives it back.
		w.reign.stop()
		<-w.reign.ended
		w.Restart()
		mustGet(t, c, "k", content(1, 1<<20))
	})
}

func TestTheLowerEpochIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{})
		c := w.Client()
		all := putAll(t, c, 10)
		time.Sleep(5 * time.Second)
		rival := w.Rival(5)
		if _, err := rival.Put(t.Context(), "theirs", 5<<20, bytes.NewReader(content(1, 5<<20)), object.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		lower := w.reign
		over := func() bool { // beside a session of the rival's a fresh instance is started, which knows no better
			select {
			case <-lower.ended:
				return true
			case <-time.After(time.Second):
				return false
			}
		}
		for round := 0; !over(); round++ {
			if round == 10 {
				t.Fatal("the lower epoch goes on")
			}
			for key, want := range all {
				got, err := c.GetBytes(t.Context(), key)
				if err == nil && !bytes.Equal(got, want) {
					t.Errorf("get %s: %d wrong bytes", key, len(got))
				}
			}
		}
		if !errors.Is(lower.err, proxy.ErrFenced) || !strings.Contains(lower.err.Error(), "epoch 5") {
			t.Errorf("Run ended with %v, want ErrFenced and whose epoch it is", lower.err)
		}
		for what, ask := range map[string]func() error{
			"open":   func() error { _, err := lower.proxy.Open(t.Context(), "k1"); return err },
			"stat":   func() error { _, err := lower.proxy.Stat(t.Context(), "k1"); return err },
			"delete": func() error { _, _, err := lower.proxy.Delete(t.Context(), "k1", false); return err },
			"flush":  func() error { return lower.proxy.Flush(t.Context()) },
			"put": func() error {
				_, err := lower.proxy.Put(t.Context(), "k1", 1, strings.NewReader("x"), object.PutOptions{})
				return err
			},
		} {
			if err := ask(); !errors.Is(err, wire.ErrStale) {
				t.Errorf("%s after the fence: %v, want ErrStale", what, err)
			}
		}
		r, err := rival.Open(t.Context(), "theirs")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var got bytes.Buffer
		if _, err := r.WriteRange(t.Context(), &got, 0, 5<<20); err != nil || !bytes.Equal(got.Bytes(), content(1, 5<<20)) {
			t.Errorf("the higher epoch's object: %d bytes, %v", got.Len(), err)
		}
	})
}
