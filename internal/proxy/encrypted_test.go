package proxy_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/proxy"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/simcache"
	"github.com/infinicache/infinicache/internal/wire"
)

// doorPut stores through the front doors' side of the proxy.
func doorPut(t *testing.T, w *simcache.Cache, key string, body []byte, size int64, o object.PutOptions) object.PutResult {
	t.Helper()
	res, err := w.Proxy.Put(t.Context(), key, size, bytes.NewReader(body), o)
	if err != nil || !res.Stored || res.Info.Size != int64(len(body)) {
		t.Fatalf("put %s = %+v, %v", key, res, err)
	}
	return res
}

// doorGet compares what a reader gives with what is wanted, and closes it.
func doorGet(t *testing.T, r object.Reader, want []byte) {
	t.Helper()
	defer r.Close()
	var b bytes.Buffer
	if _, err := r.WriteRange(t.Context(), &b, 0, -1); err != nil || !bytes.Equal(b.Bytes(), want) || r.Info().Size != int64(len(want)) {
		t.Errorf("%d bytes of %d, equal %v, %v", b.Len(), r.Info().Size, bytes.Equal(b.Bytes(), want), err)
	}
}

// Front doors and clients that have the key share what they store.
func TestDoorsThatEncrypt(t *testing.T) {
	bubble(t, simcache.Config{Encrypted: true}, func(t *testing.T, w *simcache.Cache) {
		c := w.Client()
		for i, size := range []int{0, 1, 65520, 65521, 5 << 20, 21 << 20} {
			old, want := content(byte(i+1), size), content(byte(i+7), size)
			doorPut(t, w, "k", old, int64(size), object.PutOptions{})
			mustGet(t, c, "k", old)
			if info, err := c.Stat(t.Context(), "k"); err != nil || !info.Encrypted || info.Size != int64(size) {
				t.Errorf("Stat = %+v, %v", info, err)
			}
			res := doorPut(t, w, "k", want, -1, object.PutOptions{Condition: object.IfPresent, WantReplaced: true})
			doorGet(t, res.Replaced, old)
			if info, err := w.Proxy.Stat(t.Context(), "k"); err != nil || info.Size != int64(size) {
				t.Errorf("Stat = %+v, %v", info, err)
			}
			r, err := w.Proxy.Open(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			off := int64(size / 3)
			if n, err := r.WriteRange(t.Context(), &b, off, 100_000); err != nil || !bytes.Equal(b.Bytes(), want[off:min(off+100_000, int64(size))]) {
				t.Errorf("range of %d bytes: %d, %v", size, n, err)
			}
			doorGet(t, r, want)
			mustPut(t, c, "k", old)
			if r, err = w.Proxy.Open(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			doorGet(t, r, old)
		}
		plain := w.ClientWith(nil)
		if _, err := plain.GetBytes(t.Context(), "k"); !errors.Is(err, infinicache.ErrEncrypted) {
			t.Errorf("a client without a key: %v", err)
		}
		mustPut(t, plain, "open", content(1, 100))
		r, err := w.Proxy.Open(t.Context(), "open")
		if err != nil {
			t.Fatal(err)
		}
		doorGet(t, r, content(1, 100))
	})
}

// A proxy without the key keeps and repairs what clients sealed, and its doors
// refuse to read it.
func TestProxyWithoutTheKey(t *testing.T) {
	bubble(t, simcache.Config{Nodes: 12, Linger: 30 * time.Second}, func(t *testing.T, w *simcache.Cache) {
		c := w.ClientWith(simcache.EncryptionKey())
		want := content(1, 10<<20)
		mustPut(t, c, "k", want)
		w.Proxy.ForgetChunk("k", 2)
		time.Sleep(100 * time.Millisecond)
		mustGet(t, c, "k", want)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := w.Proxy.Status(); s.ChunksRepaired != 1 {
			t.Errorf("%d chunks repaired, want 1", s.ChunksRepaired)
		}
		w.Platform.Reclaim(0)
		w.Platform.Reclaim(1)
		mustGet(t, c, "k", want)
		if _, err := w.Proxy.Open(t.Context(), "k"); !errors.Is(err, wire.ErrEncrypted) {
			t.Errorf("Open = %v", err)
		}
		if info, err := w.Proxy.Stat(t.Context(), "k"); err != nil || info.Size != int64(len(want)) {
			t.Errorf("Stat = %+v, %v", info, err)
		}
	})
}

// A node that forges a block with a checksum that fits is found out: by a client, a
// miss; by a door, an object that is lost. Without encryption it is believed.
func TestForgedBlocks(t *testing.T) {
	for _, encrypted := range []bool{true, false} {
		bubble(t, simcache.Config{Nodes: 3, Shape: object.Shape{Data: 1, Parity: 2}, Encrypted: encrypted, Liars: true}, func(t *testing.T, w *simcache.Cache) {
			c := w.Client()
			want := content(1, 200_000)
			mustPut(t, c, "k", want)
			for i := range 3 {
				defer w.Platform.Lie(i)()
			}
			got, err := c.GetBytes(t.Context(), "k")
			if !encrypted {
				if err != nil || bytes.Equal(got, want) {
					t.Errorf("without encryption: equal %v, %v; want wrong bytes", bytes.Equal(got, want), err)
				}
				return
			}
			if !errors.Is(err, infinicache.ErrCorrupt) || infinicache.MissCause(err) != "lost" {
				t.Errorf("client: %d bytes, %v", len(got), err)
			}
			r, err := w.Proxy.Open(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := r.WriteRange(t.Context(), &b, 0, -1); !errors.Is(err, wire.ErrCorrupt) || !bytes.HasPrefix(want, b.Bytes()) {
				t.Errorf("door: %d bytes, %v", b.Len(), err)
			}
			r.Close()
			if _, err := w.Proxy.Open(t.Context(), "k"); wire.CauseOf(err) != wire.CauseLost {
				t.Errorf("then: %v", err)
			}
		})
	}
}

// What a journal keeps stays sealed; what nodes name is adopted only if it is.
func TestSealsOutliveTheProxy(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := simcache.New(t, simcache.Config{Nodes: 3, Encrypted: true, JournalDir: filepath.Join(dir, "a"), Shape: object.Shape{Data: 1, Parity: 2}})
		c := w.Client()
		want := content(1, 100_000)
		mustPut(t, c, "sealed", want)
		mustPut(t, w.ClientWith(nil), "open", want)
		time.Sleep(time.Second) // the journal has it
		w.Kill()
		time.Sleep(3 * time.Second)
		w.Restart()
		mustGet(t, c, "sealed", want)
		mustGet(t, c, "open", want)
		w.Kill()
		time.Sleep(3 * time.Second)
		w.Restart(func(pc *proxy.Config) { pc.JournalDir, pc.Adopt = filepath.Join(dir, "none"), true })
		time.Sleep(time.Minute)
		mustGet(t, c, "sealed", want)
		if got, err := c.GetBytes(t.Context(), "open"); !errors.Is(err, infinicache.ErrNotFound) {
			t.Errorf("what a node might have forged was adopted: %d bytes, %v", len(got), err)
		}
	})
}

// The largest object of a door is one whose sealed form the pool can hold.
func TestLargestEncryptedObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := simcache.New(t, simcache.Config{Encrypted: true}).Proxy.MaxObject()
		if largest := simcache.New(t, simcache.Config{}).Proxy.MaxObject(); most != seal.Most(largest) || most >= largest {
			t.Errorf("%d bytes, %d without encryption", most, largest)
		}
	})
}

func TestBadEncryptionKey(t *testing.T) {
	if _, err := proxy.New(proxy.Config{EncryptionKey: make([]byte, 16)}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("16 bytes, want 32")) {
		t.Errorf("New = %v", err)
	}
}
