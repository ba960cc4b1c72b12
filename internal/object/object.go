// Package object holds the words that front doors and the proxy share when they
// speak of whole objects: what is known of one, how one is read, and under
// which conditions one is written. It has no behaviour of its own.
package object

import (
	"context"
	"io"
	"time"
)

// Info describes one committed version of an object.
type Info struct {
	Key     string
	Version uint64 // unique in the pool and rising per key; never 0
	Size    int64  // bytes, of what was stored: not of its sealed form

	// Expires is the instant after which the object is a miss; zero means never.
	Expires time.Time
	// Stored is when the version was committed.
	Stored time.Time

	Shape  Shape
	Stripe int64 // bytes of object, or of its sealed form, per stripe; the last stripe may be shorter
}

// Shape is d+p: how many data and parity chunks make a stripe.
type Shape struct {
	Data   int // d, at least 1
	Parity int // p, 0 or more
}

// Reader reads one pinned version. The version's chunks stay where they are
// until Close, whatever is overwritten, deleted or evicted meanwhile. A Reader
// serves one call at a time.
type Reader interface {
	Info() Info
	// WriteRange writes n bytes from offset off to w, in order, each verified
	// before it is written, and returns how many were written. n < 0 means to
	// the end. An error that matches wire.ErrLost means that more than p chunks
	// of a stripe are gone: a miss, if nothing was written yet.
	WriteRange(ctx context.Context, w io.Writer, off, n int64) (int64, error)
	// Close releases the pin. It is safe to call twice.
	Close() error
}

// Condition says when a Put takes effect. It is checked when the Put starts and
// again, atomically, when it commits.
type Condition uint8

const (
	Always    Condition = iota
	IfAbsent            // only if the key holds nothing (Redis NX)
	IfPresent           // only if the key holds something (Redis XX)
)

// PutOptions are the ways in which a Put may differ from the default.
type PutOptions struct {
	// Expires is the new version's expiry; zero means never. An instant in the
	// past deletes the key instead, as Redis does.
	Expires time.Time
	// KeepExpiry takes the replaced version's expiry instead of Expires.
	KeepExpiry bool
	Condition  Condition
	// WantReplaced asks for a pinned Reader on the version that the commit
	// replaced, or that stood in the way of IfAbsent.
	WantReplaced bool
	// Shape overrides the shape that size and pool would give; zero means auto.
	Shape Shape

	// Finish settles options that are known only behind the body; nil: these
	// are final. It is called once, after the body's last byte was read and
	// before the version is committed, while nothing reads the body, and not at
	// all if the Put ends before that. It gets the options of the Put and may
	// change Expires, KeepExpiry, Condition and WantReplaced; the commit goes by
	// what it leaves. It may block as the body may. Its error gives the version
	// up and is returned by Put.
	Finish func(*PutOptions) error
}

// PutResult is what a Put did.
type PutResult struct {
	// Stored tells whether the new version was committed; false only when
	// Condition did not hold.
	Stored bool
	Info   Info
	// Replaced is set only if asked for and only if there was such a version.
	// The caller closes it.
	Replaced Reader
}
