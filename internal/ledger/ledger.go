// Package ledger judges a cache by what a test stored in it: what is read must be
// what was stored last, and a miss must say why it is one.
package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/placement"
)

// Ledger knows what was stored and judges what is read. Each key has one writer,
// who numbers what he does to it; readers are many. Its fields are for when nobody
// uses it.
type Ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
	keys    []string // in the order of their first write

	Reads, Hits, Writes, Deletes int
	Failed                       int // calls that ended with an error other than a miss
	FirstFailure                 error
	Misses                       map[string]int // of keys that hold something, by cause
	Wrong                        []string       // answers that cannot be
}

// entry is one key. Of its operations, those up to acked are over, and those
// after it, up to tried, may or may not have happened.
type entry struct {
	acked, tried uint64
	deletes      map[uint64]bool // operations that deleted
	story        []string        // what happened to it
}

// tell adds to the story of a key. The ledger's lock is held.
func (e *entry) tell(format string, args ...any) {
	e.story = append(e.story, time.Now().UTC().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

// New is a ledger of nothing.
func New() *Ledger { return &Ledger{entries: map[string]*entry{}, Misses: map[string]int{}} }

// valueHeader begins every value: its key's hash, its number, its size.
const valueHeader = 24

// BytesOf is what operation n stores under a key.
func BytesOf(key string, n uint64, size int) []byte {
	v := make([]byte, max(size, valueHeader))
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], placement.Hash(key))
	binary.LittleEndian.PutUint64(seed[8:], n)
	rand.NewChaCha8(seed).Read(v[valueHeader:])
	copy(v, seed[:16])
	binary.LittleEndian.PutUint64(v[16:], uint64(len(v)))
	return v
}

// numberOf is the operation that stored a value; false if it is not whole, or not
// of that key.
func numberOf(key string, v []byte) (uint64, bool) {
	if len(v) < valueHeader || binary.LittleEndian.Uint64(v[16:]) != uint64(len(v)) {
		return 0, false
	}
	n := binary.LittleEndian.Uint64(v[8:])
	return n, string(BytesOf(key, n, len(v))) == string(v)
}

// begin notes that an operation on a key is tried.
func (l *Ledger) begin(key string, remove bool) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	if e == nil {
		e = &entry{deletes: map[uint64]bool{0: true}}
		l.entries[key] = e
		l.keys = append(l.keys, key)
	}
	e.tried++
	if remove {
		e.deletes[e.tried] = true
	}
	e.tell("%d begins, delete %t", e.tried, remove)
	return e.tried
}

// finish notes how an operation ended.
func (l *Ledger) finish(key string, n uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	e.tell("%d ends: %v", n, err)
	if err != nil {
		l.fail(err)
		return
	}
	e.acked = max(e.acked, n)
	if e.deletes[n] {
		l.Deletes++
	} else {
		l.Writes++
	}
}

// fail counts a call that ended with an error. The lock is held.
func (l *Ledger) fail(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, infinicache.ErrClosed) {
		return
	}
	l.Failed++
	if l.FirstFailure == nil {
		l.FirstFailure = err
	}
}

// Put stores a value of that size, and says whether it was acknowledged.
func (l *Ledger) Put(ctx context.Context, c *infinicache.Client, key string, size int) bool {
	n := l.begin(key, false)
	_, err := c.PutBytes(ctx, key, BytesOf(key, n, size))
	l.finish(key, n, err)
	return err == nil
}

// Delete deletes a key.
func (l *Ledger) Delete(ctx context.Context, c *infinicache.Client, key string) {
	n := l.begin(key, true)
	_, err := c.Delete(ctx, key)
	l.finish(key, n, err)
}

// Get reads a key, judges the answer, and says how long it took and whether it
// was a hit. What is read once must not be followed by anything older.
func (l *Ledger) Get(ctx context.Context, c *infinicache.Client, key string) (took time.Duration, hit bool) {
	l.mu.Lock()
	e := l.entries[key]
	least := e.acked
	l.mu.Unlock()
	began := time.Now()
	v, err := c.GetBytes(ctx, key)
	took = time.Since(began)
	var n uint64
	whole := false
	if err == nil {
		n, whole = numberOf(key, v)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.Reads++
	e.tell("read as %d after %d: %v", n, least, err)
	switch {
	case errors.Is(err, infinicache.ErrNotFound):
		cause := infinicache.MissCause(err)
		if cause == "" || cause == "unexplained" {
			l.accuse("%s: a miss without a cause: %v", key, err)
		}
		if !e.mayBeGone(least) {
			l.Misses[cause]++
		}
	case err != nil:
		l.fail(err)
	case !whole:
		l.accuse("%s: %d bytes that nobody stored", key, len(v))
	case n < least:
		l.accuse("%s: operation %d was read after %d was over", key, n, least)
	case n > e.tried || e.deletes[n]:
		l.accuse("%s: operation %d was read, which stored nothing", key, n)
	default:
		e.acked = max(e.acked, n)
		l.Hits++
		return took, true
	}
	return took, false
}

// mayBeGone tells whether a read that began when least was over may find nothing.
func (e *entry) mayBeGone(least uint64) bool {
	for n := least; n <= e.tried; n++ {
		if e.deletes[n] {
			return true
		}
	}
	return false
}

func (l *Ledger) accuse(format string, args ...any) {
	l.Wrong = append(l.Wrong, fmt.Sprintf(format, args...))
}

// Standing lists the keys whose last operation is over and stored something, and
// those whose last operation is over and deleted.
func (l *Ledger) Standing() (stored, deleted []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range l.keys {
		switch e := l.entries[key]; {
		case e.acked < e.tried:
		case e.deletes[e.acked]:
			deleted = append(deleted, key)
		default:
			stored = append(stored, key)
		}
	}
	return stored, deleted
}

// ReadAll reads keys one after the other and returns those that were misses.
func (l *Ledger) ReadAll(t *testing.T, c *infinicache.Client, keys []string) (missed []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, key := range keys {
		if _, hit := l.Get(ctx, c, key); !hit {
			missed = append(missed, key)
		}
	}
	return missed
}

// Stories logs what happened to keys.
func (l *Ledger) Stories(t *testing.T, keys []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		t.Logf("%s:\n\t%s", key, strings.Join(l.entries[key].story, "\n\t"))
	}
}

// Judge fails the test for anything wrong that was read.
func (l *Ledger) Judge(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.Wrong[:min(len(l.Wrong), 10)] {
		t.Error(w)
	}
	t.Logf("%d reads, %d hits, %d writes, %d deletes; misses of what was stored %v; %d failed, first %v; %d wrong",
		l.Reads, l.Hits, l.Writes, l.Deletes, l.Misses, l.Failed, l.FirstFailure, len(l.Wrong))
}

// Forget has keys count as deleted from here on, whatever was stored.
func (l *Ledger) Forget(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		e := l.entries[key]
		e.deletes[e.acked] = true
	}
}

// Count is how many writes were acknowledged.
func (l *Ledger) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Writes
}
