package simcache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

// TestCopiesAreNotMadeAgain: an upload that takes long keeps lots from being
// claimed, so that each backup lists them.
func TestCopiesAreNotMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 6, Backup: 20 * time.Second, Seed: 8})
		c := w.Client()
		load(t, c, 6, 2<<20)
		up := c.Writer(t.Context(), "slow")
		if _, err := up.Write(content(1, 40<<20)); err != nil {
			t.Fatal(err)
		}
		var first uint64
		for step := range 12 {
			time.Sleep(10 * time.Second)
			if step == 4 {
				first = w.Proxy.Status().BackupChunks
			}
			if _, err := up.Write(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if now := w.Proxy.Status().BackupChunks; now != first || first == 0 {
			t.Errorf("%d chunks were copied in 50 s, and %d more later", first, now-first)
		}
		if err := up.Close(); err != nil {
			t.Fatal(err)
		}
		w.NothingUnexplained()
	})
}

// TestDeletedWhileItIsCopied: the copy, which nobody needs, dies as well.
func TestDeletedWhileItIsCopied(t *testing.T) {
	for after := 100 * time.Millisecond; after < 2*time.Second; after += 300 * time.Millisecond {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(t, Config{Nodes: 1, Shape: object.Shape{Data: 1}, Backup: 30 * time.Second, Seed: 9})
				c := w.Client()
				mustPut(t, c, "k", content(1, 16<<20))
				mustPut(t, c, "other", content(3, 4<<20)) // their lot lives on
				functionLinks(t, w, 1, 8<<20)
				for len(w.Platform.Instances(0)) < 2 {
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(after)
				if _, err := c.Delete(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(40 * time.Second)
				for range 2 {
					w.Platform.Swap(0)
					mustPut(t, c, "small", content(2, 1000))
					time.Sleep(5 * time.Second)
					w.nothingButNamed()
				}
				w.NothingUnexplained()
			})
		})
	}
}
