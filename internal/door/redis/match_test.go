package redis

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestGlobMatch(t *testing.T) {
	tests := []struct {
		pattern, s string
		fold, want bool
	}{
		{"*", "", false, true}, {"*", "abc", false, true}, {"", "", false, true}, {"", "a", false, false},
		{"a*c", "abbbc", false, true}, {"a*c", "abbb", false, false}, {"a*b*c", "a1b2b3c", false, true},
		{"?", "a", false, true}, {"?", "", false, false}, {"h?llo", "hello", false, true},
		{"h[ae]llo", "hallo", false, true}, {"h[ae]llo", "hillo", false, false},
		{"h[^e]llo", "hallo", false, true}, {"h[^e]llo", "hello", false, false},
		{"h[a-c]llo", "hbllo", false, true}, {"h[c-a]llo", "hbllo", false, true}, {"h[a-c]llo", "hdllo", false, false},
		{`h\*llo`, "h*llo", false, true}, {`h\*llo`, "hello", false, false}, {`[\]]`, "]", false, true},
		{"[", "a", false, false}, {"[a", "a", false, true}, {"[^", "a", false, true}, {`\`, `\`, false, true},
		{"MAX*", "maxmemory", true, true}, {"MAX*", "maxmemory", false, false}, {"[A-Z]x", "qX", true, true},
	}
	for _, tt := range tests {
		if got := globMatch(tt.pattern, tt.s, tt.fold); got != tt.want {
			t.Errorf("globMatch(%q, %q, %v) = %v, want %v", tt.pattern, tt.s, tt.fold, got, tt.want)
		}
	}
	// A pattern on which backtracking over every * would never end.
	if globMatch(strings.Repeat("a*", 50)+"b", strings.Repeat("a", 5000), false) {
		t.Error("matched")
	}
}

func FuzzGlobMatch(f *testing.F) {
	f.Add("a*[b-d]?\\*", "axxc1*")
	f.Add("[^", "x")
	f.Fuzz(func(t *testing.T, pattern, s string) {
		globMatch(pattern, s, true)
		if !globMatch("*", s, false) || !globMatch(s+"*", s, false) && !strings.ContainsAny(s, `*?[\`) {
			t.Errorf("%q does not match itself", s)
		}
	})
}

func TestSpan(t *testing.T) {
	for _, tt := range []struct{ first, last, size, off, n int64 }{
		{0, -1, 10, 0, 10}, {0, 0, 10, 0, 1}, {-1, -1, 10, 9, 1}, {-100, 2, 10, 0, 3},
		{5, 4, 10, 0, 0}, {-2, -5, 10, 0, 0}, {9, 100, 10, 9, 1}, {10, 20, 10, 0, 0},
		{0, -1, 0, 0, 0}, {0, -100, 10, 0, 1}, {math.MinInt64, math.MaxInt64, 10, 0, 10},
	} {
		off, n := span(tt.first, tt.last, tt.size)
		if n != tt.n || n > 0 && off != tt.off {
			t.Errorf("span(%d, %d, %d) = %d, %d; want %d, %d", tt.first, tt.last, tt.size, off, n, tt.off, tt.n)
		}
	}
}

func TestInstant(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	for _, tt := range []struct {
		n                 int64
		seconds, relative bool
		want              time.Time
		ok                bool
	}{
		{5, true, true, time.UnixMilli(1_005_000), true},
		{5, false, true, time.UnixMilli(1_000_005), true},
		{5, true, false, time.UnixMilli(5000), true},
		{-5000, true, true, time.UnixMilli(0), true},
		{math.MaxInt64, false, false, latest, true},
		{math.MaxInt64, false, true, time.Time{}, false},
		{math.MaxInt64, true, false, time.Time{}, false},
		{math.MinInt64, true, true, time.Time{}, false},
		{math.MinInt64, false, true, time.UnixMilli(0), true},
	} {
		got, ok := instant(tt.n, tt.seconds, tt.relative, now)
		if ok != tt.ok || !got.Equal(tt.want) {
			t.Errorf("instant(%d, %v, %v) = %v, %v; want %v, %v", tt.n, tt.seconds, tt.relative, got, ok, tt.want, tt.ok)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	for name, cmd := range newTable() {
		if cmd.name != name || cmd.run == nil || cmd.arity == 0 || cmd.group == "" || cmd.since == "" || cmd.summary == "" {
			t.Errorf("the row of %s is not whole: %+v", name, cmd)
		}
		for sub, row := range cmd.subs {
			if row.name != name+"|"+sub || row.run == nil || row.arity == 0 || row.since == "" || row.summary == "" {
				t.Errorf("the row of %s %s is not whole: %+v", name, sub, row)
			}
		}
		if cmd.value > 0 && cmd.flags&denyOOM == 0 {
			t.Errorf("%s takes a value but has no flag denyoom", name)
		}
	}
}
