package wire

import (
	"fmt"
	"time"
)

// MaxLinger bounds every time of a Linger.
const MaxLinger = time.Hour

// Linger tells an instance how long to stay awake after its last request. The
// zero Linger leaves that to the instance.
type Linger struct {
	// Stay is how long, if there is no Quantum.
	Stay time.Duration `json:"stayNanos,omitempty"`
	// Quantum is what the session's time is billed in, where that is worth
	// minding. The instance then stays until Margin before the end of the
	// quantum that it is in, and for as many whole quanta more as Stay has.
	Quantum time.Duration `json:"quantumNanos,omitempty"`
	// Margin is the time that returning takes, less than the Quantum.
	Margin time.Duration `json:"marginNanos,omitempty"`
	// Extra adds a quantum if two or more requests came in the one that the
	// instance is in.
	Extra bool `json:"extra,omitempty"`
}

// String is the stay, and with a quantum "stay/quantum-margin", followed by "+1"
// for Extra.
func (l Linger) String() string {
	s := l.Stay.String()
	if l.Quantum != 0 {
		s += fmt.Sprintf("/%v-%v", l.Quantum, l.Margin)
	}
	if l.Extra {
		s += "+1"
	}
	return s
}

// check is the error of a Linger that cannot be followed, matching ErrProtocol.
func (l Linger) check() error {
	switch {
	case l.Stay < 0 || l.Stay > MaxLinger || l.Quantum < 0 || l.Quantum > MaxLinger:
		return Errorf(CodeProtocol, "invocation: linger of %v, its times are 0 to %v", l, MaxLinger)
	case l.Quantum == 0 && (l.Margin != 0 || l.Extra):
		return Errorf(CodeProtocol, "invocation: linger of %v has a margin of %v without a quantum", l, l.Margin)
	case l.Margin < 0 || l.Margin != 0 && l.Margin >= l.Quantum:
		return Errorf(CodeProtocol, "invocation: linger of %v, its margin must be less than its quantum", l)
	}
	return nil
}
