package simcache

import "testing"

// The checker must be able to fail: histories that a cache may have, and ones
// that it must not.
func TestHistoriesOfACache(t *testing.T) {
	type steps []*step
	write := func(v uint32, begun, end int64) *step { return &step{kind: put, value: v, begun: begun, end: end} }
	read := func(v uint32, begun, end int64) *step { return &step{kind: get, value: v, begun: begun, end: end} }
	gone := func(begun, end int64) *step { return &step{kind: get, absent: true, begun: begun, end: end} }
	drop := func(found bool, begun, end int64) *step {
		return &step{kind: del, found: found, begun: begun, end: end}
	}
	miss := func(begun, end int64) *step { return &step{kind: get, begun: begun, end: end} }

	for _, tt := range []struct {
		name  string
		steps steps
		ok    bool
	}{
		{"read of what was written", steps{write(1, 1, 2), read(1, 3, 4)}, true},
		{"miss of it", steps{write(1, 1, 2), miss(3, 4)}, true},
		{"miss, then read", steps{write(1, 1, 2), miss(3, 4), read(1, 5, 6)}, true},
		{"said never stored", steps{write(1, 1, 2), gone(3, 4)}, false},
		{"said never stored while it is written", steps{write(1, 1, 5), gone(2, 3), read(1, 6, 7)}, true},
		{"stale", steps{write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)}, false},
		{"stale while the newer is written", steps{write(1, 1, 2), write(2, 3, 7), read(1, 4, 5)}, true},
		{"back and forth", steps{write(1, 1, 2), write(2, 3, 20), read(2, 4, 5), read(1, 6, 7)}, false},
		{"two at once, then both orders", steps{write(1, 1, 4), write(2, 2, 3), read(1, 5, 6), read(2, 7, 8)}, false},
		{"deleted", steps{write(1, 1, 2), drop(true, 3, 4), read(1, 5, 6)}, false},
		{"deleted, told so", steps{write(1, 1, 2), drop(true, 3, 4), gone(5, 6)}, true},
		{"deleted twice", steps{write(1, 1, 2), drop(true, 3, 4), drop(true, 5, 6)}, false},
		{"delete of what was forgotten", steps{write(1, 1, 2), drop(false, 3, 4)}, true},
		{"failed put that took effect late", steps{write(1, 1, never), write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)}, true},
		{"failed put that did not", steps{write(1, 1, never), write(2, 2, 3), read(2, 4, 5), read(2, 6, 7)}, true},
		{"failed put that came and went", steps{write(1, 1, never), write(2, 2, 3), read(1, 4, 5), read(2, 6, 7)}, false},
		{"failed delete that took effect", steps{write(1, 1, 2), drop(false, 3, never), read(1, 4, 5), gone(6, 7)}, true},
	} {
		h := newHistory()
		h.steps["k"] = tt.steps
		if err := h.check(); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestValuesTellWhoseTheyAre(t *testing.T) {
	h := newHistory()
	h.begin(put, "k", 100)
	h.begin(put, "k", 80)
	right := body(2, 80)
	flipped := body(2, 80)
	flipped[43] ^= 4
	mixed := append(body(2, 40), body(1, 80)[40:]...)
	for _, tt := range []struct {
		name   string
		off, n int
		got    []byte
		ok     bool
	}{
		{"whole", 0, -1, right, true},
		{"range", 16, 13, right[16:29], true},
		{"range over the end", 72, 100, right[72:], true},
		{"short", 0, -1, right[:72], false},
		{"long", 0, 16, right[:24], false},
		{"elsewhere", 8, 16, right[16:32], false},
		{"flipped", 0, -1, flipped, false},
		{"mixture", 0, -1, mixed, false},
		{"nobody's", 0, -1, body(3, 80), false},
		{"nothing", 0, -1, nil, false},
	} {
		v, err := h.whose(tt.off, tt.n, tt.got)
		if (err == nil) != tt.ok || tt.ok && v != 2 {
			t.Errorf("%s: value %d, %v, want ok %v", tt.name, v, err, tt.ok)
		}
	}
}
