package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEpochsRise(t *testing.T) {
	key := filepath.Join(t.TempDir(), "pool.key")
	now := time.Date(2027, time.March, 1, 0, 0, 0, 0, time.UTC)
	var last uint64
	for _, at := range []time.Duration{0, 0, time.Second, -time.Hour, time.Minute, time.Hour} {
		epoch, err := nextEpoch(key, now.Add(at))
		if err != nil || epoch <= last || epoch < epochAt(now.Add(at)) {
			t.Errorf("nextEpoch after %v = %d, %v; the last was %d", at, epoch, err, last)
		}
		last = epoch
	}
	if want := epochAt(now.Add(time.Hour)); last != want {
		t.Errorf("epoch %d, the clock's %d wanted, which is higher than the last", last, want)
	}
	if epoch, err := nextEpoch("", now); epoch != epochAt(now) || err != nil {
		t.Errorf("nextEpoch without a file = %d, %v", epoch, err)
	}
	if err := os.WriteFile(key+".epoch", []byte("soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nextEpoch(key, now); err == nil || !strings.Contains(err.Error(), "should hold the number") {
		t.Errorf("nextEpoch of a bad file: %v", err)
	}
	if _, err := nextEpoch(filepath.Join(key, "none", "pool.key"), now); err == nil {
		t.Error("nextEpoch remembers nothing and says nothing")
	}
}

func TestEpochFitsVersions(t *testing.T) {
	if e := epochAt(time.Date(2110, time.January, 1, 0, 0, 0, 0, time.UTC)); e >= 1<<28 {
		t.Errorf("epoch %d has more than 28 bits", e)
	}
	if e := epochAt(time.Time{}); e != 1 {
		t.Errorf("epoch %d of a clock that is not set, 1 wanted", e)
	}
}
