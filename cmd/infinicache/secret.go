package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	minSecret = 32 // bytes
	maxSecret = 4 << 10
)

// secretOf returns the pool's secret, which is all that is in the file. A file
// that is missing is made, for its owner's eyes only. Without a path the secret
// is new.
func secretOf(path string) ([]byte, error) {
	if path == "" {
		return newSecret(), nil
	}
	return keptSecret(path, maxSecret)
}

// keptSecret returns the secret in a file, of minSecret bytes to most, and makes
// one that is missing.
func keptSecret(path string, most int) ([]byte, error) {
	secret, err := readSecret(path, most)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := writeSecret(path, newSecret()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return readSecret(path, most) // it may be another process's
}

func newSecret() []byte {
	secret := make([]byte, minSecret)
	rand.Read(secret) // never fails
	return secret
}

func readSecret(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s is open to everybody (mode %#o): chmod 600 it", path, st.Mode().Perm())
	}
	secret, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return nil, err
	}
	if len(secret) < minSecret || len(secret) > most {
		allowed := fmt.Sprintf("%d to %d", minSecret, most)
		if most == minSecret {
			allowed = fmt.Sprint(most)
		}
		return nil, fmt.Errorf("%s has %d bytes, %s allowed", path, st.Size(), allowed)
	}
	return secret, nil
}

// writeSecret makes the file whole or not at all. The error matches fs.ErrExist
// if it is there.
func writeSecret(path string, secret []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(secret)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
