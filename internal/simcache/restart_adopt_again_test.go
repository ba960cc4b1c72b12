package simcache

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/proxy"
)

// An adoption that is cut short is begun again: the journal that it began must not
// pass for one that knows everything.
func TestAdoptionCutShortIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := journalled(t, Config{Nodes: 14})
		c := w.Client()
		all := putAll(t, c, 10)
		time.Sleep(5 * time.Second)
		adopt := func(dir string) func(*proxy.Config) {
			return func(pc *proxy.Config) { pc.JournalDir, pc.Adopt = dir, true }
		}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		w.Kill()
		w.Restart(adopt(dir))
		time.Sleep(5 * time.Second)
		w.Kill()
		w.Restart(adopt(dir))
		time.Sleep(40 * time.Second)
		if n := found(t, c, all); n != len(all) {
			t.Errorf("%d of %d objects are there", n, len(all))
		}
	})
}
