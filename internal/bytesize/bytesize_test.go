package bytesize

import (
	"encoding/json"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1B": 1, "1KiB": 1024, "1kib": 1024, "1k": 1024, "1KB": 1000, "256MiB": 256 << 20,
		"1.5G": 3 << 29, "10 MB": 10_000_000, "2TiB": 2 << 40,
	} {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("Parse(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e3", "0x10", "1XB", "1MiBB", "1_000", "99999999TiB", "NaN", "Inf", "1.2.3"} {
		if got, ok := Parse(text); ok {
			t.Errorf("Parse(%q) = %d, want a complaint", text, got)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, n := range []int64{0, 1, 1023, 1024, 1025, 128 << 20, 3 << 29, 1 << 40} {
		if got, ok := Parse(Format(n)); !ok || got != n {
			t.Errorf("%d is written %q, which reads as %d", n, Format(n), got)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{`"256MiB"`: 256 << 20, `4096`: 4096, `"10MB"`: 10_000_000} {
		var b Bytes
		if err := json.Unmarshal([]byte(text), &b); err != nil || b != want {
			t.Errorf("%s reads as %d, %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{`"many"`, `1.5`, `true`, `-1e99`} {
		var b Bytes
		if err := json.Unmarshal([]byte(text), &b); err == nil {
			t.Errorf("%s reads as %d, want a complaint", text, b)
		}
	}
	if text, err := json.Marshal(Bytes(256 << 20)); err != nil || string(text) != `"256MiB"` {
		t.Errorf("Marshal = %s, %v", text, err)
	}
}
