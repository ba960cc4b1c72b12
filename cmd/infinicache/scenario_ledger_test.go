package main

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

// ledger knows what was stored and judges what is read. Each key has one writer,
// who numbers what he does to it; readers are many.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
	keys    []string // in the order of their first write

	reads, hits, writes, deletes int
	failed                       int // calls that ended with an error other than a miss
	firstFailure                 error
	misses                       map[string]int // of keys that hold something, by cause
	wrong                        []string
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

func newLedger() *ledger { return &ledger{entries: map[string]*entry{}, misses: map[string]int{}} }

// valueHeader begins every value: its key's hash, its number, its size.
const valueHeader = 24

// bytesOf is what operation n stores under a key.
func bytesOf(key string, n uint64, size int) []byte {
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
	return n, string(bytesOf(key, n, len(v))) == string(v)
}

// begin notes that an operation on a key is tried.
func (l *ledger) begin(key string, remove bool) uint64 {
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
func (l *ledger) finish(key string, n uint64, err error) {
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
		l.deletes++
	} else {
		l.writes++
	}
}

// fail counts a call that ended with an error. The lock is held.
func (l *ledger) fail(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, infinicache.ErrClosed) {
		return
	}
	l.failed++
	if l.firstFailure == nil {
		l.firstFailure = err
	}
}

// put stores a value of that size, and says whether it was acknowledged.
func (l *ledger) put(ctx context.Context, c *infinicache.Client, key string, size int) bool {
	n := l.begin(key, false)
	_, err := c.PutBytes(ctx, key, bytesOf(key, n, size))
	l.finish(key, n, err)
	return err == nil
}

// del deletes a key.
func (l *ledger) del(ctx context.Context, c *infinicache.Client, key string) {
	n := l.begin(key, true)
	_, err := c.Delete(ctx, key)
	l.finish(key, n, err)
}

// get reads a key, judges the answer, and says how long it took and whether it
// was a hit. What is read once must not be followed by anything older.
func (l *ledger) get(ctx context.Context, c *infinicache.Client, key string) (took time.Duration, hit bool) {
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
	l.reads++
	e.tell("read as %d after %d: %v", n, least, err)
	switch {
	case errors.Is(err, infinicache.ErrNotFound):
		cause := infinicache.MissCause(err)
		if cause == "" || cause == "unexplained" {
			l.accuse("%s: a miss without a cause: %v", key, err)
		}
		if !e.mayBeGone(least) {
			l.misses[cause]++
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
		l.hits++
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

func (l *ledger) accuse(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// standing lists the keys whose last operation is over and stored something, and
// those whose last operation is over and deleted.
func (l *ledger) standing() (stored, deleted []string) {
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

// readAll reads keys one after the other and returns those that were misses.
func (l *ledger) readAll(t *testing.T, c *infinicache.Client, keys []string) (missed []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, key := range keys {
		if _, hit := l.get(ctx, c, key); !hit {
			missed = append(missed, key)
		}
	}
	return missed
}

// stories logs what happened to keys.
func (l *ledger) stories(t *testing.T, keys []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		t.Logf("%s:\n\t%s", key, strings.Join(l.entries[key].story, "\n\t"))
	}
}

// judge fails the test for anything wrong that was read.
func (l *ledger) judge(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.wrong[:min(len(l.wrong), 10)] {
		t.Error(w)
	}
	t.Logf("%d reads, %d hits, %d writes, %d deletes; misses of what was stored %v; %d failed, first %v; %d wrong",
		l.reads, l.hits, l.writes, l.deletes, l.misses, l.failed, l.firstFailure, len(l.wrong))
}
