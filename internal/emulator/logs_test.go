package emulator

import (
	"log/slog"
	"strings"
	"testing"
)

func TestLogsAreBounded(t *testing.T) {
	l := newLogs(slog.New(slog.DiscardHandler))
	l.read(strings.NewReader("old\n"))
	l.begin()
	l.read(strings.NewReader(strings.Repeat("x", 10*maxLine) + "\nshort\nno end"))
	got := string(l.tail())
	if want := strings.Repeat("x", maxLine) + "\nshort\nno end\n"; got != want {
		t.Errorf("tail of %d bytes ending in %q, want %d bytes", len(got), got[max(0, len(got)-20):], len(want))
	}
	l.read(strings.NewReader(strings.Repeat("line\n", 10_000)))
	if n := len(l.tail()); n > maxTail {
		t.Errorf("tail of %d bytes", n)
	}
}
