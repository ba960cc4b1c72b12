package journal

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the damages; 0 picks one")

// written makes a journal of several pages, levels and transactions.
func written(t *testing.T) (file []byte, want content) {
	t.Helper()
	dir := t.TempDir()
	j, _ := open(t, dir)
	stop := running(t, j)
	w := newWorkload(j, 4)
	for range 40 {
		for range 30 {
			w.step(t)
		}
		settle(t, j.DropHolder(99))
	}
	stop()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	return file, w.model
}

func openBytes(t *testing.T, dir string, file []byte) (*content, error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, File), file, 0o600); err != nil {
		t.Fatal(err)
	}
	j, s, err := Open(dir, Config{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = j.Close() }()
	c := read(t, s)
	// What was read can be written, too.
	if err := j.Reign(s.Epoch); err != nil {
		t.Error(err)
	}
	return &c, nil
}

// A damaged file is refused, or the damage is where nothing lies.
func TestDamage(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	file, want := written(t)
	dir := t.TempDir()
	refused := 0
	for i := range 500 {
		b := append([]byte(nil), file...)
		var what string
		switch i % 5 {
		case 0, 1:
			at, bit := r.IntN(len(b)), r.IntN(8)
			if i%2 == 0 { // where the structure is
				at = at&^4095 + r.IntN(200)
			}
			b[at] ^= 1 << bit
			what = fmt.Sprintf("bit %d of byte %d", bit, at)
		case 2:
			at := r.IntN(len(b) - 600)
			for n := range r.IntN(600) {
				b[at+n] = byte(r.Uint32())
			}
			what = fmt.Sprintf("noise at %d", at)
		case 3: // a page that another write should have replaced
			from, to := r.IntN(len(b)/4096)*4096, r.IntN(len(b)/4096)*4096
			copy(b[to:to+4096], file[from:from+4096])
			what = fmt.Sprintf("page at %d copied to %d", from, to)
		case 4:
			b = b[:r.IntN(len(b))]
			what = fmt.Sprintf("cut to %d", len(b))
		}
		got, err := openBytes(t, dir, b)
		switch {
		case err != nil && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), dir)):
			t.Errorf("%s: %v", what, err)
		case err != nil:
			refused++
		case !cmp.Equal(*got, want):
			t.Errorf("%s: %s", what, cmp.Diff(want, *got))
		}
	}
	t.Logf("%d of 500 refused, file of %d bytes", refused, len(file))
	if refused < 25 { // most runs refuse 55 to 120: much of the file is free
		t.Errorf("only %d of 500 damages were refused", refused)
	}
}

// An older state of the whole is refused when the newest meta page is damaged.
func TestNoFallBack(t *testing.T) {
	file, _ := written(t)
	for page := range 2 {
		b := append([]byte(nil), file...)
		b[page*os.Getpagesize()+pageHeader+50] ^= 1
		if _, err := openBytes(t, t.TempDir(), b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("damaged meta page %d: %v", page, err)
		}
	}
}

func TestOtherFiles(t *testing.T) {
	other := func(change func(tx *bolt.Tx) error) []byte {
		dir := t.TempDir()
		j, _ := open(t, dir)
		if err := j.db.Update(change); err != nil {
			t.Fatal(err)
		}
		_ = j.Close()
		b, err := os.ReadFile(filepath.Join(dir, File))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, file := range map[string][]byte{
		"empty": nil,
		"text":  []byte(strings.Repeat("not a journal\n", 5000)),
		"zeros": make([]byte, 1<<16),
		"newer": other(func(tx *bolt.Tx) error {
			var tables tables
			if err := tables.open(tx); err != nil {
				return err
			}
			if err := tables.meta.put(keyFormat, put32(nil, 2)); err != nil {
				return err
			}
			return tables.close()
		}),
		"no table": other(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("holders")) }),
		"an entry that nobody wrote": other(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("objects"))
			table := table{number: 1}
			return b.Put(objectKey(1, 0), table.seal(objectKey(1, 0), nil))
		}),
	} {
		if _, err := openBytes(t, t.TempDir(), file); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
