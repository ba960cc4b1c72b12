//go:build unix && !linux

package emulator

import (
	"bytes"
	"os/exec"
	"strconv"
	"time"
)

// memoryInterval is long because a look starts a process.
const memoryInterval = time.Second

// residentMemory returns a process's resident bytes, or 0 if it is gone.
func residentMemory(pid int) int64 {
	b, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0
	}
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
