// Package platform is the contract between InfiniCache and a function platform:
// what a driver does (run one session of a node's function), what it declares
// (Capabilities), and how it says what went wrong (Error).
//
// The rest of the code asks the declared table and the error kinds, never the
// platform's name. Package conformance holds the suite that every driver passes.
package platform

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Driver runs sessions of the functions deployed on one platform. It is safe for
// concurrent use.
type Driver interface {
	// Capabilities returns the platform's declared table. It never changes
	// during a driver's life.
	Capabilities() Capabilities

	// Invoke runs one session of the node's function and returns when that
	// session is over, so that the node may be invoked again. It makes one
	// attempt: whoever calls decides about another.
	//
	// The payload is JSON; the driver reads it only during the call and does not
	// keep it. If ctx ends first, Invoke returns at once with Canceled, while the
	// session may run on. Every error matches *Error with errors.As; the Outcome
	// beside an error equals the one within it.
	Invoke(ctx context.Context, node int, payload []byte) (Outcome, error)
}

// Inbound is a Driver of a platform on which the proxy can dial instances; its
// Capabilities say so.
type Inbound interface {
	Driver

	// InvokeInbound is Invoke where the instance may ask to be dialled: called is
	// given each of its calls, which Check accepts, while the session runs. It must
	// not block.
	InvokeInbound(ctx context.Context, node int, payload []byte, called func(wire.Call)) (Outcome, error)
}

// Overlapping is a Driver of a platform on which another instance of a node may
// stand ready while one is in session or idle: after what is deployed has changed,
// sessions that begin go to a new one, while the old one runs on for as long as it
// has one.
type Overlapping interface {
	Driver

	// Next returns the identity of the instance that the node's next session would
	// be given, as its hello says it; empty if the platform has none or cannot tell.
	// It may start one.
	Next(ctx context.Context, node int) (string, error)

	// InvokeInstance is InvokeInbound of one instance, by the identity that Next would
	// say, though the next session would be another's. The error is NotFound if that
	// instance is not there any more, or the platform has no way to it. called may be
	// nil.
	InvokeInstance(ctx context.Context, node int, instance string, payload []byte, called func(wire.Call)) (Outcome, error)
}

// Outcome is what the platform tells of one session. A field that the platform
// does not tell is zero.
type Outcome struct {
	// Payload is what the function returned, or the platform's description of
	// the function's failure. The caller owns it.
	Payload []byte

	// Billed is the time charged, rounded up to the platform's quantum and
	// including Init where a start is billed.
	Billed time.Duration
	// Estimated tells that the platform gave no Billed and that it is derived
	// from the time the caller waited, an upper bound.
	Estimated bool

	// Duration is the time the function ran, without Init.
	Duration time.Duration
	// Init is the time a fresh instance took to start; zero in a warm session.
	Init time.Duration
	// Cold tells that the platform started an instance for this session.
	Cold bool

	// MaxMemory is the instance's largest resident memory so far, in bytes.
	MaxMemory int64
	// RequestID is the platform's name for the session, for its logs.
	RequestID string
}
