package miniature

import "syscall"

// attr has the kernel end a process with the one that started it.
func attr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
