package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// epochAt makes an epoch of the clock: the tens of seconds since the start of
// 2026, which fit the 28 bits that versions leave for it until 2111.
func epochAt(now time.Time) uint64 {
	began := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	return uint64(max(now.Sub(began), 0)/(10*time.Second)) + 1
}

// nextEpoch is an epoch above all earlier ones of the pool whose secret is in
// keyFile, and by the clock if that is higher: two starts within ten seconds, or
// a clock set back, must not share one. The file beside keyFile remembers it.
// Without a keyFile it is the clock's: no instance outlives such a proxy.
func nextEpoch(keyFile string, now time.Time) (uint64, error) {
	epoch := epochAt(now)
	if keyFile == "" {
		return epoch, nil
	}
	path := keyFile + ".epoch"
	text, err := os.ReadFile(path)
	if err == nil {
		last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%s should hold the number of an epoch: %w", path, err)
		}
		epoch = max(epoch, last+1)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return epoch, replace(path, strconv.FormatUint(epoch, 10)+"\n")
}

// replace writes a file that is either the old one or the new one, whatever
// happens meanwhile.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // is gone if all went well
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
