package simcache

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// bodies are distinct objects of a size.
func bodies(n, size int) map[string][]byte {
	all := map[string][]byte{}
	for i := range n {
		all[fmt.Sprint("object ", i)] = bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, size/3)
	}
	return all
}

func TestBackupSurvivesTheLossOfEveryFirstInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 12, Warm: time.Minute, Backup: 5 * time.Minute, Seed: 3})
		c := w.Client()
		want := bodies(20, 3<<20)
		for k, b := range want {
			if _, err := c.PutBytes(t.Context(), k, b); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(11 * time.Minute)
		st := w.Proxy.Status()
		if st.Backups == 0 || st.BackupsFailed > 0 {
			t.Fatalf("%d backups, %d failed", st.Backups, st.BackupsFailed)
		}
		first := st.BackupBytes
		for node := range 12 {
			if n := len(w.Platform.Instances(node)); n != 2 {
				t.Errorf("node %d has %d instances, want 2", node, n)
			}
		}
		// Nothing changed: nothing moves.
		time.Sleep(10 * time.Minute)
		if st := w.Proxy.Status(); st.BackupBytes != first {
			t.Errorf("%d bytes were backed up though nothing changed", st.BackupBytes-first)
		}
		// A change moves alone.
		changed := bytes.Repeat([]byte{9}, 300<<10)
		if _, err := c.PutBytes(t.Context(), "object 3", changed); err != nil {
			t.Fatal(err)
		}
		want["object 3"] = changed
		time.Sleep(6 * time.Minute)
		if moved := w.Proxy.Status().BackupBytes - first; moved == 0 || moved > 4*uint64(len(changed)) {
			t.Errorf("%d bytes were backed up after %d were written in 1+2", moved, len(changed))
		}

		for node := range 12 {
			w.Platform.Take(node, node%2)
		}
		for k, b := range want {
			got, err := c.GetBytes(t.Context(), k)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s after the loss of an instance of each node: %d bytes, %v", k, len(got), err)
			}
		}
		w.NothingUnexplained()
	})
}

func TestOverwriteThenBackupNeverShowsTheOldVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 4, Backup: time.Minute, Seed: 4})
		c := w.Client()
		var last []byte
		for round := range 12 {
			last = bytes.Repeat([]byte{byte(round + 1)}, 700<<10)
			if _, err := c.PutBytes(t.Context(), "k", last); err != nil {
				t.Fatal(err)
			}
			time.Sleep(40 * time.Second)
			for node := range 4 {
				w.Platform.Swap(node) // the other instance is woken next
			}
			got, err := c.GetBytes(t.Context(), "k")
			if err == nil && !bytes.Equal(got, last) {
				t.Fatalf("round %d: got version %d", round, got[0])
			}
		}
		if w.Proxy.Status().Backups == 0 {
			t.Error("no backup was made")
		}
		w.NothingUnexplained()
	})
}

func TestBackupGoesOnBesideReadsAndWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(t, Config{Nodes: 6, Backup: 20 * time.Second, Seed: 5})
		c := w.Client()
		want := bodies(10, 2<<20)
		for k, b := range want {
			if _, err := c.PutBytes(t.Context(), k, b); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 300 {
			k := fmt.Sprint("object ", round%10)
			if round%5 == 0 {
				want[k] = bytes.Repeat([]byte{byte(round)}, 1<<20)
				if _, err := c.PutBytes(t.Context(), k, want[k]); err != nil {
					t.Fatal(err)
				}
			}
			got, err := c.GetBytes(t.Context(), k)
			if err != nil || !bytes.Equal(got, want[k]) {
				t.Fatalf("round %d, %s: %d bytes, %v", round, k, len(got), err)
			}
			time.Sleep(300 * time.Millisecond)
		}
		st := w.Proxy.Status()
		if st.Backups == 0 {
			t.Error("no backup was made")
		}
		t.Logf("%d backups, %d not complete, %d chunks", st.Backups, st.BackupsFailed, st.BackupChunks)
	})
}
