package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	full := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			io.WriteString(w, text)
			return err
		}
	}
	broken := errors.New("broken")
	for _, tt := range []struct {
		text string
		err  error
		want string // in the file, afterwards; "" for no file
	}{
		{"half", broken, ""}, {"one", nil, "one"}, {"half", broken, "one"}, {"two", nil, "two"},
	} {
		if err := writeFile(name, full(tt.text, tt.err)); !errors.Is(err, tt.err) {
			t.Errorf("write of %q = %v, want %v", tt.text, err, tt.err)
		}
		got, _ := os.ReadFile(name)
		if string(got) != tt.want {
			t.Errorf("after %q, %v: file has %q, want %q", tt.text, tt.err, got, tt.want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
			t.Errorf("after %q, %v: left %v", tt.text, tt.err, left)
		}
	}
	if err := writeFile(os.DevNull, full("x", nil)); err != nil {
		t.Errorf("write to a device: %v", err)
	}
	if err := writeFile(dir, full("x", nil)); err == nil {
		t.Error("write to a directory gave no error")
	}
	if err := writeFile(filepath.Join(dir, "no", "file"), full("x", nil)); err == nil {
		t.Error("write into a missing directory gave no error")
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]span{
		"0-": {0, -1}, "5-": {5, -1}, "0-0": {0, 1}, "10-19": {10, 10},
	} {
		if got, ok := spanOf().parse(text); !ok || got != want {
			t.Errorf("range %q = %v, %t, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "-5", "5", "9-1", "a-b", "1-2-3", "99999999999999999999-"} {
		if got, ok := spanOf().parse(text); ok {
			t.Errorf("range %q = %v, want a complaint", text, got)
		}
	}
}
