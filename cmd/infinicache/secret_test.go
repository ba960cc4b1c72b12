package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestSecretIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pool.key")
	secrets := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range secrets {
		all.Go(func() {
			var err error
			if secrets[i], err = secretOf(path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, s := range secrets {
		if len(s) != 32 || !bytes.Equal(s, secrets[0]) {
			t.Errorf("secrets differ: %x, %x", s, secrets[0])
		}
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	left, _ := filepath.Glob(path + "*")
	if len(left) != 1 {
		t.Errorf("files: %v", left)
	}
	if a, _ := secretOf(""); bytes.Equal(a, secrets[0]) || len(a) != 32 {
		t.Errorf("secret without a file: %x", a)
	}
}

func TestBadSecrets(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		size int
		mode os.FileMode
		want string
	}{
		{"short", 31, 0o600, "31 bytes, 32 to 4096"},
		{"long", 4097, 0o600, "4097 bytes"},
		{"open", 32, 0o604, "open to everybody"},
		{"group", 32, 0o640, ""},
	} {
		path := filepath.Join(dir, tt.name)
		if err := os.WriteFile(path, make([]byte, tt.size), tt.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := secretOf(path)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := secretOf(filepath.Join(dir, "none", "key")); err == nil {
		t.Error("a secret in a directory that is not there")
	}
}
