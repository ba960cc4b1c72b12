package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listeners opens the listeners of a system, all that can be, so that all
// complaints come at once.
type listeners struct {
	all  []net.Listener
	errs []error
}

// open listens at the address of a flag. It returns nil if that fails.
func (l *listeners) open(flag, address string) net.Listener {
	at, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		err = fmt.Errorf("--%s %s: the port is in use; is another infinicache running? Port 0 picks a free one", flag, address)
	case err != nil:
		err = fmt.Errorf("--%s %s: %w", flag, address, err)
	}
	if err != nil {
		l.errs = append(l.errs, err)
		return nil
	}
	l.all = append(l.all, at)
	return at
}

// err is every complaint.
func (l *listeners) err() error { return errors.Join(l.errs...) }

func (l *listeners) close() {
	for _, at := range l.all {
		at.Close()
	}
}
