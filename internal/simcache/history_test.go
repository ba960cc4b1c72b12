package simcache

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/wire"
)

// history is what was asked of the keys of a workload, when, and what came of it.
// Values tell which put wrote them, so that porcupine can judge whether all that
// was read could have been.
type history struct {
	mu    sync.Mutex
	clock int64 // rises with everything that begins or ends
	sizes []int // of the values of puts, by their number less one
	steps map[string][]*step
}

type kind uint8

const (
	put kind = iota
	get
	del
)

// step is one operation on a key.
type step struct {
	kind       kind
	value      uint32 // that was put, or read; 0 for none
	absent     bool   // a get that was told that the key was never stored, or deleted
	found      bool   // a del that was told that there was something
	begun, end int64
}

// never is the end of an operation whose outcome is not known: it may take effect
// at any later time, or not at all.
const never = math.MaxInt64

func newHistory() *history { return &history{steps: map[string][]*step{}} }

// begin notes an operation, with an outcome that is not known. size is that of
// the value of a put.
func (h *history) begin(k kind, key string, size int) *step {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	s := &step{kind: k, begun: h.clock, end: never}
	if k == put {
		h.sizes = append(h.sizes, size)
		s.value = uint32(len(h.sizes))
	}
	h.steps[key] = append(h.steps[key], s)
	return s
}

func (h *history) finish(s *step) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	s.end = h.clock
}

// body is the value of a put: words of its number and their position, so that any
// part of it tells whose it is.
func body(value uint32, size int) []byte {
	b := make([]byte, size+7)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint32(b[i:], value)
		binary.LittleEndian.PutUint32(b[i+4:], uint32(i))
	}
	return b[:size:size]
}

// whose tells which put wrote got, read from offset off on, a multiple of 8, by a
// read that asked for n bytes, -1 for all. Its error says that none did.
func (h *history) whose(off, n int, got []byte) (uint32, error) {
	if len(got) < 8 {
		return 0, fmt.Errorf("%d bytes, no value is so short", len(got))
	}
	value := binary.LittleEndian.Uint32(got)
	h.mu.Lock()
	known := value > 0 && int(value) <= len(h.sizes)
	size := 0
	if known {
		size = h.sizes[value-1]
	}
	h.mu.Unlock()
	if !known {
		return 0, errors.New("a value that nobody wrote")
	}
	want := max(0, size-off)
	if n >= 0 {
		want = min(want, n)
	}
	if len(got) != want {
		return 0, fmt.Errorf("%d bytes from %d on of value %d, which has %d", len(got), off, value, size)
	}
	var word [8]byte
	for i := 0; i < len(got); i += 8 {
		binary.LittleEndian.PutUint32(word[:], value)
		binary.LittleEndian.PutUint32(word[4:], uint32(off+i))
		if k := min(8, len(got)-i); string(got[i:i+k]) != string(word[:k]) {
			return 0, fmt.Errorf("the bytes at %d are not those of value %d", off+i, value)
		}
	}
	return value, nil
}

// cacheModel is a cache of one key. Its state is the value, 0 where there is none.
// It may forget at any time, so that a miss tells nothing of the state, except for
// the two causes that claim to know that there is no value.
var cacheModel = porcupine.Model{
	Init: func() any { return uint32(0) },
	Step: func(state, input, _ any) (bool, any) {
		s := input.(*step)
		switch s.kind {
		case put:
			return true, s.value
		case del:
			return !s.found || state.(uint32) != 0, uint32(0)
		}
		switch {
		case s.value != 0:
			return state.(uint32) == s.value, state
		case s.absent:
			return state.(uint32) == 0, state
		}
		return true, state
	},
	Hash: func(state any) uint64 { return uint64(state.(uint32)) },
}

// checkPatience bounds the search for an order of one key's operations.
const checkPatience = 30 * time.Second

// check complains of every key whose operations have no order that a cache could
// have answered so. It is called outside of a bubble, for its patience.
func (h *history) check() error {
	var wrong []error
	for key, steps := range h.steps {
		var ops []porcupine.Operation
		for _, s := range steps {
			if s.kind == get && s.value == 0 && !s.absent {
				continue // tells nothing
			}
			ops = append(ops, porcupine.Operation{Input: s, Call: s.begun, Return: s.end})
		}
		if r := porcupine.CheckOperationsTimeout(cacheModel, ops, checkPatience); r != porcupine.Ok {
			wrong = append(wrong, fmt.Errorf("%s: %s as a history of one key of a cache:\n%s", key, r, describe(steps)))
		}
	}
	return errors.Join(wrong...)
}

// describe lists operations as a person reads them.
func describe(steps []*step) string {
	steps = slices.Clone(steps)
	slices.SortFunc(steps, func(a, b *step) int { return cmp.Compare(a.begun, b.begun) })
	var b strings.Builder
	for _, s := range steps {
		end := fmt.Sprint(s.end)
		if s.end == never {
			end = "?"
		}
		fmt.Fprintf(&b, "  %6d to %6s  ", s.begun, end)
		switch {
		case s.kind == put:
			fmt.Fprintf(&b, "put %d\n", s.value)
		case s.kind == del && s.found:
			b.WriteString("delete, of something\n")
		case s.kind == del:
			b.WriteString("delete\n")
		case s.value != 0:
			fmt.Fprintf(&b, "get %d\n", s.value)
		case s.absent:
			b.WriteString("get: not there\n")
		default:
			b.WriteString("get: miss\n")
		}
	}
	return b.String()
}

// claimsAbsence tells whether a miss with this cause says that the key has no
// value, and not only that the cache has none of it.
func claimsAbsence(err error) bool {
	switch infinicache.MissCause(err) {
	case wire.CauseNeverStored.String(), wire.CauseDeleted.String():
		return true
	}
	return false
}
