//go:build !linux

package bench

import (
	"errors"
	"time"
)

// Process is known on Linux only.
func Process(int) (own, children time.Duration, memory int64, err error) {
	return 0, 0, 0, errors.ErrUnsupported
}

// OwnMemory is the resident bytes of this process; 0 where not known.
func OwnMemory() int64 { return 0 }
