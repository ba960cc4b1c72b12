package platform

import "fmt"

// Kind is why a session failed: a closed set. A Kind is itself an error, so that
// errors.Is(err, platform.Throttled) asks whether err is an Error of that kind.
// What a kind means to the caller is told by SessionRan, InstanceGone and Retry.
type Kind uint8

const (
	// Unavailable: the platform failed, or the connection to it broke. It is
	// the kind of everything that is not known better, and the zero value.
	Unavailable Kind = iota
	// Throttled: the platform refused for a limit on concurrency or rate.
	Throttled
	// Busy: the node's instance said that it is in another session. The next attempt
	// may find it free, or a fresh one.
	Busy
	// NotFound: no function of this name is deployed.
	NotFound
	// NotReady: the function is being created or changed, or what it takes to invoke
	// it cannot be had at the moment.
	NotReady
	// BadRequest: the platform refused the payload or the request as malformed.
	BadRequest
	// TooLarge: the payload is above Capabilities.MaxPayload.
	TooLarge
	// Denied: credentials are missing, wrong, expired or not allowed to invoke.
	Denied
	// Timeout: the session passed Capabilities.LongestSession, and the platform
	// killed the instance.
	Timeout
	// Exited: the instance's process ended during the session: an exit, a
	// signal, too much memory, or a start that failed.
	Exited
	// FunctionError: the function returned an error, or panicked.
	FunctionError
	// ResponseTooLarge: the function's answer was above Capabilities.MaxResponse.
	ResponseTooLarge
	// Canceled: the caller's context ended before the session did. The error
	// also matches the context's own.
	Canceled

	kinds
)

// Certainty is an answer to a question that a failure may leave open.
type Certainty uint8

const (
	No Certainty = iota
	Yes
	Unknown
)

// Retry is what the caller may do after a failure.
type Retry uint8

const (
	// RetryNever: the same request fails again until a person or a deployment
	// changes something.
	RetryNever Retry = iota
	// RetryNow: another attempt may start at once; the node's instance is
	// fresh, or the failure was the function's own.
	RetryNow
	// RetryLater: another attempt makes sense after a back-off with jitter.
	RetryLater
)

type kindFacts struct {
	name  string
	ran   Certainty
	gone  Certainty
	retry Retry
}

var facts = [kinds]kindFacts{
	Unavailable:      {"unavailable", Unknown, Unknown, RetryLater},
	Throttled:        {"throttled", No, No, RetryLater},
	Busy:             {"busy", No, No, RetryLater},
	NotFound:         {"not found", No, Unknown, RetryNever},
	NotReady:         {"not ready", No, Unknown, RetryLater},
	BadRequest:       {"bad request", No, No, RetryNever},
	TooLarge:         {"payload too large", No, No, RetryNever},
	Denied:           {"denied", No, No, RetryNever},
	Timeout:          {"timeout", Yes, Yes, RetryNow},
	Exited:           {"exited", Yes, Yes, RetryNow},
	FunctionError:    {"function error", Yes, Unknown, RetryNow},
	ResponseTooLarge: {"response too large", Yes, Yes, RetryNow},
	Canceled:         {"canceled", Unknown, No, RetryLater},
}

func (k Kind) facts() kindFacts {
	if k >= kinds {
		k = Unavailable
	}
	return facts[k]
}

// String returns the kind's name: lower case, of a closed set, fit for a label.
func (k Kind) String() string { return k.facts().name }

// Error makes a Kind a target for errors.Is.
func (k Kind) Error() string { return k.String() }

// SessionRan tells whether a session was run, and so perhaps billed. Unknown
// includes a session that still runs: do not count on the node being free.
func (k Kind) SessionRan() Certainty { return k.facts().ran }

// InstanceGone tells whether the instance that was, or would have been, in
// session has lost its memory.
func (k Kind) InstanceGone() Certainty { return k.facts().gone }

// Retry tells whether and when the same invocation may be tried again.
func (k Kind) Retry() Retry { return k.facts().retry }

// Error is the only error that Driver.Invoke returns.
type Error struct {
	Kind Kind
	Node int
	// Reason is the platform's own word, such as "Runtime.OutOfMemory"; it is
	// for people and may be empty.
	Reason string
	// Outcome is what the platform told of a session that failed.
	Outcome Outcome
	// Err is the cause; it may be nil.
	Err error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("invoke node %d: %s", e.Node, e.Kind)
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's Kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}
