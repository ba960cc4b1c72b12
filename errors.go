package infinicache

import (
	"context"
	"errors"
	"fmt"

	"github.com/infinicache/infinicache/internal/wire"
)

// Errors to test for with errors.Is. Beside these, calls return what their
// context was cancelled with, and the errors of readers and writers that they
// were given.
var (
	// ErrNotFound is a miss: the cache does not have the object, or no longer
	// enough of it. MissCause says why.
	ErrNotFound = wire.ErrNotFound
	// ErrLost: too much of the object is gone for good.
	ErrLost = wire.ErrLost
	// ErrUnheard: too much of it is in functions that were not heard from.
	ErrUnheard = wire.ErrUnheard
	// ErrTimeout: the functions or the proxy did not answer in time.
	ErrTimeout = wire.ErrTimeout
	// ErrUnavailable: the key's proxy cannot be reached, or cannot serve now.
	ErrUnavailable = wire.ErrUnavailable
	// ErrBusy: the proxy has too much to do.
	ErrBusy = wire.ErrBusy
	// ErrBreaker: the proxy spends no more for now.
	ErrBreaker = wire.ErrBreaker
	// ErrTooLarge: the object is larger than the cache can hold.
	ErrTooLarge = wire.ErrTooLarge
	// ErrFull: the cache has no room and can make none.
	ErrFull = wire.ErrFull
	// ErrKey: the key is empty or longer than 64 KiB.
	ErrKey = wire.ErrKey
	// ErrCondition: IfAbsent or IfPresent did not hold.
	ErrCondition = wire.ErrCondition
	// ErrShort: the body of a Put is not as long as was said.
	ErrShort = wire.ErrShort
	// ErrRequest: an argument is outside what is allowed.
	ErrRequest = wire.ErrRequest
	// ErrVersion: the proxy speaks another version of the protocol.
	ErrVersion = wire.ErrVersion
	// ErrProtocol: what answers at the proxy's address breaks the protocol.
	ErrProtocol = wire.ErrProtocol
	// ErrClosed: the client, object or writer is closed.
	ErrClosed = wire.ErrClosed
	// ErrEncrypted: the object is encrypted with another key than the Config's, which
	// may have none.
	ErrEncrypted = wire.ErrEncrypted
	// ErrCorrupt: the encrypted object is not genuine; a function has altered it. The
	// error matches ErrLost too, or is a miss, as for chunks that are gone.
	ErrCorrupt = wire.ErrCorrupt
	// ErrChanged: the link broke in the middle of a streaming read, and the
	// version that was read is no longer the one that stands.
	ErrChanged = errors.New("object changed while it was read")
	// ErrUnknown: the link broke while a Put was being committed, so that it may
	// or may not have taken effect. Such an error matches ErrUnavailable too.
	ErrUnknown = errors.New("outcome of the put is unknown")
)

// MissCause says in a word why err, which matches ErrNotFound, is a miss:
// "never-stored", "expired", "evicted", "deleted", "lost" (more than p chunks of a
// stripe are gone), "unheard" (or are in functions not heard from), "breaker" (the
// proxy spends no more), "slow" (the functions did not answer in time). It is ""
// for other errors and nil.
func MissCause(err error) string {
	if !errors.Is(err, ErrNotFound) {
		return ""
	}
	return wire.CauseOf(err).String()
}

// asMiss makes a miss of a read that brought nothing because the object's chunks
// could not be had.
func asMiss(err error) error {
	if errors.Is(err, ErrNotFound) {
		return err
	}
	for _, m := range []struct {
		is    error
		cause wire.Cause
	}{
		{ErrLost, wire.CauseLost}, {ErrUnheard, wire.CauseUnheard},
		{ErrBreaker, wire.CauseBreaker}, {ErrTimeout, wire.CauseSlow},
	} {
		if errors.Is(err, m.is) {
			return fmt.Errorf("%w: %w", wire.Miss(m.cause), err)
		}
	}
	return err
}

// codeOf is how a read went, for the proxy.
func codeOf(err error) wire.Code {
	switch code := wire.CodeOf(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrClosed):
		return wire.CodeCanceled
	case code == wire.CodeInternal && !errors.Is(err, wire.ErrInternal):
		return wire.CodeCanceled // the caller's own reason
	default:
		return code
	}
}

// linkError is why a link ended or could not be made. It matches ErrUnavailable,
// or what the other side is that it cannot be spoken to, or ErrClosed if it was
// this client that closed it.
type linkError struct {
	addr string
	err  error
}

func (e *linkError) Error() string {
	if e.code() == wire.CodeUnavailable {
		return fmt.Sprintf("proxy %s: %v: %v", e.addr, wire.CodeUnavailable, e.err)
	}
	return fmt.Sprintf("proxy %s: %v", e.addr, e.err)
}

func (e *linkError) Unwrap() error { return e.code() }

func (e *linkError) code() wire.Code {
	if errors.Is(e.err, errClientClosed) {
		return wire.CodeClosed
	}
	switch code := wire.CodeOf(e.err); code {
	case wire.CodeProtocol, wire.CodeVersion, wire.CodeDenied:
		return code
	default:
		return wire.CodeUnavailable
	}
}

// final is an error after which nothing is tried again, whatever is in it.
type final struct{ error }

func (e final) Unwrap() error { return e.error }

// worthRetry tells whether what failed with err may succeed when it is tried
// again.
func worthRetry(err error) bool {
	var last final
	var broken *linkError
	if errors.As(err, &last) {
		return false
	}
	if errors.As(err, &broken) {
		return broken.code() == wire.CodeUnavailable
	}
	return errors.Is(err, ErrBusy)
}
