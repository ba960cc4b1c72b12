package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of /proc/PID/stat: Linux shows 100 a second to programs, on
// every architecture that Go knows.
const tick = time.Second / 100

// Process reads what a process has spent, and apart from that what its children
// have spent that have ended and were waited for, and the resident bytes that it
// holds now.
func Process(pid int) (own, children time.Duration, memory int64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0, err
	}
	// The name, in parentheses, may contain anything; behind it comes field 3.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const first, utime, last, rss = 3, 14, 17, 24
	if len(fields) <= rss-first {
		return 0, 0, 0, fmt.Errorf("/proc/%d/stat: %d fields, want %d", pid, len(fields)+first-1, rss)
	}
	var ticks [last - utime + 1]int64
	for i := range ticks {
		if ticks[i], err = strconv.ParseInt(string(fields[utime-first+i]), 10, 64); err != nil {
			return 0, 0, 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	pages, err := strconv.ParseInt(string(fields[rss-first]), 10, 64)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	own = time.Duration(ticks[0]+ticks[1]) * tick
	children = time.Duration(ticks[2]+ticks[3]) * tick
	return own, children, pages * int64(os.Getpagesize()), nil
}

// OwnMemory is the resident bytes of this process; 0 where not known.
func OwnMemory() int64 {
	_, _, memory, err := Process(os.Getpid())
	if err != nil {
		return 0
	}
	return memory
}
