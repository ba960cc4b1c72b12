package emulator

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// instanceAttr puts an instance into its own process group and, with
// parentDeath, has the kernel kill it when the spawner's thread ends, however
// that comes about. SIGKILL reaches stopped processes too.
func instanceAttr(parentDeath bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if parentDeath {
		attr.Pdeathsig = syscall.SIGKILL
	}
	return attr
}

// limitDescriptors gives the process the real service's limit. That it may fail
// is no harm: the limit is only unkindness.
func limitDescriptors(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 1024}, nil)
}
