//go:build unix && !linux

package emulator

import "syscall"

// instanceAttr puts an instance into its own process group. There is no
// parent-death signal here; the watchdog alone ends what is left.
func instanceAttr(bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// limitDescriptors does nothing: the limits of another process cannot be set.
func limitDescriptors(int) {}
