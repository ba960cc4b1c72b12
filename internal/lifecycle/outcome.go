package lifecycle

import (
	"fmt"

	"github.com/infinicache/infinicache/internal/wire"
)

// Class is what the platform says of an invocation that is over. The set is
// closed: drivers sort their platform's answers into it.
type Class uint8

const (
	OK          Class = iota // the instance ended the session itself
	Throttled                // refused for a limit of rate or concurrency; nothing ran
	NotReady                 // the function is being made or changed; nothing ran
	Unavailable              // anything else that may pass; whether it ran is not known
	Gone                     // the instance exited, was killed or ran out of time: its memory is lost
	Missing                  // there is no such function
	Denied                   // the platform forbids it
	Forbidden                // the proxy's own limit on what is spent forbids it; nothing ran

	classes
)

var classNames = [classes]string{
	"ok", "throttled", "not-ready", "unavailable", "gone", "missing", "denied", "forbidden",
}

func (c Class) String() string {
	if c < classes {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// hopeless says that asking again soon cannot help: a person must act, or time
// must pass.
func (c Class) hopeless() bool { return c == Missing || c == Denied || c == Forbidden }

// code is what requests fail with that the class leaves without hope.
func (c Class) code() wire.Code {
	if c == Forbidden {
		return wire.CodeBreaker
	}
	return wire.CodeUnavailable
}

// Reason is why an instance ended an invocation.
type Reason uint8

const (
	Slept      Reason = iota // the proxy agreed
	Duplicate                // the session is not above the last one seen
	StaleEpoch               // a proxy of a higher epoch has spoken before
	NoProxy                  // no welcome within the join budget
	NoAnswer                 // SLEEP was not answered within its budget
	LinkLost                 // the link broke and could not be renewed in time
	Refused                  // the proxy refused the hello
	Deadline                 // the platform's limit is near
	Notice                   // the platform said that the instance will end

	reasons
)

// Reasons is how many reasons there are: the length of a table by reason.
const Reasons = int(reasons)

var reasonNames = [reasons]string{
	"slept", "duplicate", "stale-epoch", "no-proxy", "no-answer", "link-lost",
	"refused", "deadline", "notice",
}

func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}
