package simcache

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestUploadThatABackupMeetsIsBackedUpLater: its first stripes are stored before a
// backup, which cannot copy what no version in force names, and it ends after.
func TestUploadThatABackupMeetsIsBackedUpLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 14, Backup: time.Minute, Seed: 7})
		c := w.Client()
		other := bytes.Repeat([]byte{1}, 14<<20)
		if _, err := c.PutBytes(t.Context(), "other", other); err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat([]byte{2, 3, 5}, 14<<20)
		up := c.Writer(t.Context(), "slow")
		for step := range 14 {
			if _, err := up.Write(body[step*3<<20 : (step+1)*3<<20]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(8 * time.Second)
		}
		if w.Proxy.Status().Backups == 0 {
			t.Error("no backup met the upload")
		}
		if err := up.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		for node := range 14 {
			if n := len(w.Platform.Instances(node)); n != 2 {
				t.Errorf("node %d has %d instances, want 2", node, n)
			}
			w.Platform.Take(node, node%2)
		}
		for key, want := range map[string][]byte{"other": other, "slow": body} {
			if got, err := c.GetBytes(t.Context(), key); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, %v", key, len(got), err)
			}
		}
		w.NothingUnexplained()
	})
}

// TestReplicaThatIsTakenIsReplaced by the next backup, before anything but a fresh
// instance in its place tells of it.
func TestReplicaThatIsTakenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 12, Warm: time.Minute, Backup: 3 * time.Minute, Seed: 8})
		c := w.Client()
		want := bodies(12, 3<<20)
		for k, b := range want {
			if _, err := c.PutBytes(t.Context(), k, b); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(4 * time.Minute)
		for node := range 12 {
			w.Platform.Take(node, 1)
		}
		time.Sleep(6 * time.Minute)
		for node := range 12 {
			w.Platform.Take(node, 0)
		}
		for k, b := range want {
			if got, err := c.GetBytes(t.Context(), k); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s: %d bytes, %v", k, len(got), err)
			}
		}
		w.NothingUnexplained()
	})
}
