package emulator

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// memoryInterval is short because a look costs only microseconds.
const memoryInterval = 100 * time.Millisecond

// residentMemory returns a process's resident bytes, or 0 if it is gone.
func residentMemory(pid int) int64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
