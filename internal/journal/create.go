package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	bolt "go.etcd.io/bbolt"
)

// create makes an empty journal if there is none and reports whether it did. The
// file appears under its name only when it is whole and on disk, so that one that
// is not whole later was damaged.
func create(path string) (fresh bool, err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("journal: %w", err)
		}
		return false, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), File+".new*")
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	_ = file.Close()
	defer func() { _ = os.Remove(file.Name()) }()
	db, err := openFile(file.Name(), false)
	if err != nil {
		return false, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		var t tables
		for i, table := range t.all() {
			table.number = byte(i)
			if table.Bucket, err = tx.CreateBucket([]byte(tableNames[i])); err != nil {
				return err
			}
		}
		if err := t.meta.put(keyFormat, put32(nil, formatVersion)); err != nil {
			return err
		}
		return t.close()
	})
	err = errors.Join(err, db.Close())
	if err == nil {
		// Unlike a rename, a link does not replace what another process made first.
		err = os.Link(file.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	return true, nil
}

// syncDir makes the names in a directory durable, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
