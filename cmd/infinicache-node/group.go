package main

import (
	"os"
	"strconv"
	"strings"
)

// groupFiles are where Linux says how much memory the process's control group may
// have, in bytes: of version 2 and of version 1.
var groupFiles = []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}

// unlimited is from where on a limit of version 1 means none.
const unlimited = 1 << 50

// groupMemory is the limit of the control group; 0 if there is none.
func groupMemory() int64 {
	for _, path := range groupFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && n > 0 && n < unlimited {
			return n
		}
	}
	return 0
}
