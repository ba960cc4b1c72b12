package infinicache_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/wire"
)

// beside returns another client of a proxy, which may have another key or none.
func beside(t *testing.T, p *fakeProxy, change func(*infinicache.Config)) *infinicache.Client {
	t.Helper()
	q, c := start(t, change)
	q.mu.Lock()
	q.objects = p.objects
	q.mu.Unlock()
	return c
}

// all is what a proxy's nodes hold of a key.
func (p *fakeProxy) all(key string) (b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.objects[key].blocks {
		b = append(b, k.body...)
	}
	return b
}

func TestWhatIsHeldIsNotWhatWasStored(t *testing.T) {
	p, c := start(t, withKey(1))
	text := []byte(strings.Repeat("attack at dawn. ", 100_000))
	info, err := c.PutBytes(t.Context(), "k", text)
	if err != nil || !info.Encrypted || info.Size != int64(len(text)) {
		t.Fatalf("PutBytes = %+v, %v", info, err)
	}
	held := p.all("k")
	if len(held) < len(text) || bytes.Contains(held, []byte("attack")) {
		t.Errorf("%d bytes are held, and say what was stored", len(held))
	}
	if _, err := c.PutBytes(t.Context(), "k", text); err != nil {
		t.Fatal(err)
	}
	if again := p.all("k"); bytes.Contains(again, held[:32]) {
		t.Error("the same object has the same ciphertext twice")
	}

	plain, d := start(t, nil)
	if info, err := d.PutBytes(t.Context(), "k", text); err != nil || info.Encrypted {
		t.Fatalf("PutBytes = %+v, %v", info, err)
	}
	if !bytes.Contains(plain.all("k"), []byte("attack")) {
		t.Error("without a key something else is held")
	}
}

func TestKeysThatDoNotFit(t *testing.T) {
	p, c := start(t, withKey(1))
	want := mustPut(t, c, "k", 3<<20)
	mustPut(t, c, "empty", 0)
	for name, other := range map[string]func(*infinicache.Config){"none": nil, "another": withKey(2)} {
		d := beside(t, p, other)
		for _, key := range []string{"k", "empty"} {
			_, err := d.Get(t.Context(), key)
			_, err2 := d.GetBytes(t.Context(), key)
			_, err3 := d.GetInto(t.Context(), key, make([]byte, 4<<20), infinicache.Range(5, 5))
			for _, err := range []error{err, err2, err3} {
				if !errors.Is(err, infinicache.ErrEncrypted) || errors.Is(err, infinicache.ErrNotFound) {
					t.Errorf("key %s: %s: %v", name, key, err)
				}
			}
		}
		if info, err := d.Stat(t.Context(), "k"); err != nil || info.Size != int64(len(want)) || !info.Encrypted {
			t.Errorf("key %s: Stat = %+v, %v", name, info, err)
		}
	}
	e := beside(t, p, withKey(1))
	if got, err := e.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the same key: equal %v, %v", bytes.Equal(got, want), err)
	}
}

// A cache may have both, such as one that was not encrypted once.
func TestWhatIsNotEncryptedIsReadWithAKeyToo(t *testing.T) {
	p, c := start(t, nil)
	want := mustPut(t, c, "k", 1<<20)
	if got, err := beside(t, p, withKey(1)).GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("equal %v, %v", bytes.Equal(got, want), err)
	}
}

// Functions that lie make checksums that fit. An object of theirs is a miss, and no
// byte of it comes out; without a key it would.
func TestForgeriesAreMisses(t *testing.T) {
	lie := func(b []byte) { b[len(b)-1]++ }
	p, c := start(t, withKey(1))
	want := mustPut(t, c, "k", 2<<20)
	mustPut(t, c, "empty", 0)
	for _, key := range []string{"k", "empty"} {
		p.bump(key, lie)
		if _, err := c.GetBytes(t.Context(), key); !errors.Is(err, infinicache.ErrCorrupt) || infinicache.MissCause(err) != "lost" {
			t.Errorf("%s: %v, cause %q", key, err, infinicache.MissCause(err))
		}
	}
	if _, err := c.Get(t.Context(), "empty"); !errors.Is(err, infinicache.ErrCorrupt) || infinicache.MissCause(err) != "lost" {
		t.Errorf("Get of an empty object: %v, cause %q", err, infinicache.MissCause(err))
	}
	o, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if !errors.Is(err, infinicache.ErrLost) || !errors.Is(err, infinicache.ErrCorrupt) || !bytes.HasPrefix(want, got) {
		t.Errorf("ReadAll = %d bytes, %v", len(got), err)
	}
	if n, err := o.ReadAt(make([]byte, 10), int64(len(want))-10); n != 0 || !errors.Is(err, infinicache.ErrCorrupt) {
		t.Errorf("ReadAt = %d, %v", n, err)
	}

	q, d := start(t, nil)
	mustPut(t, d, "k", 2<<20)
	q.bump("k", lie)
	if _, err := d.GetBytes(t.Context(), "k"); err != nil {
		t.Errorf("without a key the lie is found: %v", err)
	}
}

// An object is bound to its name and to its version.
func TestObjectsStayWhereTheyWerePut(t *testing.T) {
	p, c := start(t, withKey(1))
	mustPut(t, c, "a", 1000)
	mustPut(t, c, "b", 1000)
	p.mu.Lock()
	p.objects["b"] = &fakeObject{rec: p.objects["a"].rec, blocks: p.objects["a"].blocks}
	p.objects["b"].rec.Key = "b"
	p.mu.Unlock()
	if _, err := c.GetBytes(t.Context(), "b"); !errors.Is(err, infinicache.ErrCorrupt) {
		t.Errorf("a is read as b: %v", err)
	}
	p.mu.Lock()
	old := p.objects["a"]
	p.mu.Unlock()
	mustPut(t, c, "a", 1000)
	p.mu.Lock()
	now := p.objects["a"]
	for id, b := range old.blocks {
		b.sum = wire.Checksum(now.rec.Version, id.stripe, id.chunk, id.index, b.body)
		now.blocks[id] = b
	}
	p.mu.Unlock()
	if _, err := c.GetBytes(t.Context(), "a"); !errors.Is(err, infinicache.ErrCorrupt) {
		t.Errorf("an older version is read as the newest: %v", err)
	}
}
