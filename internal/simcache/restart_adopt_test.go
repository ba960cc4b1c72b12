package simcache

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/proxy"
)

// TestAdoptionDropsWhatWasReplaced: nodes that slept meanwhile name the chunks of
// a version that has a successor. It is not adopted, and its chunks die.
func TestAdoptionDropsWhatWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := journalled(t, Config{Warm: time.Minute})
		c := w.Client()
		mustPut(t, c, "k", content(1, 8<<20))
		time.Sleep(10 * time.Second)
		mustPut(t, c, "k", content(2, 50_000))
		time.Sleep(200 * time.Millisecond) // its last chunk is there
		w.Kill()
		if err := os.Remove(filepath.Join(w.reign.cfg.JournalDir, journal.File)); err != nil {
			t.Fatal(err)
		}
		w.Restart(func(pc *proxy.Config) { pc.Adopt = true })
		time.Sleep(5 * time.Minute)
		for i := range 6 { // nodes hear of what is dead when they are awake
			mustPut(t, c, fmt.Sprint("wake", i), content(uint64(i), 20<<20))
		}
		time.Sleep(time.Minute)
		mustGet(t, c, "k", content(2, 50_000))
		w.nothingButNamed()
		w.NothingUnexplained()
	})
}
