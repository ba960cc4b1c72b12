package simcache

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
)

// journalled is a cache that keeps a journal.
func journalled(t *testing.T, cfg Config) *Cache {
	t.Helper()
	cfg.JournalDir = filepath.Join(t.TempDir(), "journal")
	return New(t, cfg)
}

// mustMiss fails the test unless a key is a miss with one of these causes.
func mustMiss(t *testing.T, c *infinicache.Client, key string, causes ...string) {
	t.Helper()
	_, err := c.GetBytes(t.Context(), key)
	if !errors.Is(err, infinicache.ErrNotFound) {
		t.Errorf("get %s: %v, want a miss", key, err)
		return
	}
	for _, cause := range causes {
		if infinicache.MissCause(err) == cause {
			return
		}
	}
	t.Errorf("get %s: miss %q, want one of %q", key, infinicache.MissCause(err), causes)
}

func TestRestartServesWhatNodesHold(t *testing.T) {
	for _, pause := range []time.Duration{0, 100 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second, 10 * time.Minute} {
		t.Run(fmt.Sprint("down for ", pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := journalled(t, Config{})
				c := w.Client()
				for i := range 20 {
					mustPut(t, c, fmt.Sprint("k", i), content(uint64(i), 1+i*i*20_000))
				}
				mustPut(t, c, "k3", content(103, 500_000))
				if _, err := c.Delete(t.Context(), "k4"); err != nil {
					t.Fatal(err)
				}
				_, before := w.Platform.Invocations()
				w.Kill()
				time.Sleep(pause)
				w.Restart()
				began := time.Now()
				for i := range 20 {
					switch i {
					case 3:
						mustGet(t, c, "k3", content(103, 500_000))
					case 4:
						mustMiss(t, c, "k4", "never-stored")
					default:
						mustGet(t, c, fmt.Sprint("k", i), content(uint64(i), 1+i*i*20_000))
					}
					if i == 0 {
						t.Logf("first hit %v after the restart", time.Since(began))
					}
				}
				if _, now := w.Platform.Invocations(); now != before {
					t.Errorf("the restart started %d instances beside those there were", now-before)
				}
				if s := w.Proxy.Status(); s.InstancesLost != 0 || s.ObjectsLost != 0 || s.FalseHoldings != 0 {
					t.Errorf("%d instances and %d objects lost, %d false holdings", s.InstancesLost, s.ObjectsLost, s.FalseHoldings)
				}
				w.NothingUnexplained()
			})
		})
	}
}
