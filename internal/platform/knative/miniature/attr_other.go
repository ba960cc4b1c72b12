//go:build !linux

package miniature

import "syscall"

func attr() *syscall.SysProcAttr { return nil }
