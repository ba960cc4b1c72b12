package simcache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/proxy"
)

// The journal knows the epoch of the last reign, whatever the next is told.
func TestRestartReignsAboveTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := journalled(t, Config{})
		c := w.Client()
		all := putAll(t, c, 8)
		for range 3 {
			time.Sleep(time.Second) // first versions are on disk
			w.Kill()
			w.Restart(func(pc *proxy.Config) { pc.Pool.Epoch = 1 })
			if n := found(t, c, all); n != len(all) {
				t.Errorf("%d of %d objects are there", n, len(all))
			}
			mustPut(t, c, "new", content(1, 100_000))
			mustGet(t, c, "new", content(1, 100_000))
		}
		w.NothingUnexplained()
	})
}
