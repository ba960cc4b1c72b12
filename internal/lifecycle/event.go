package lifecycle

import (
	"fmt"
	"strings"

	"github.com/infinicache/infinicache/internal/wire"
)

// EventKind says what happened.
type EventKind uint8

const (
	// Events of a Node.

	OnRequest  EventKind = iota // ID, Cause: somebody wants the node
	OnCancel                    // ID: the asker of a request gave up
	OnDone                      // a sent request is over: answered, or given up and off the link
	OnHello                     // Session, Link, Instance: a hello whose node, epoch and secret are verified
	OnSleep                     // Session, Link, Number: SLEEP arrived; requests that the node received
	OnPong                      // Link, Number: PONG arrived
	OnHeard                     // Link: any other frame arrived
	OnLinkLost                  // Link: it broke or was closed by the other side
	OnBye                       // Session, Link: BYE arrived
	OnReturned                  // Session, Class: the invocation is over
	OnPoke                      // Cause: the node is wanted awake, or its silent link checked, without a request
	OnHolds                     // Number: chunks that the node holds and that are worth keeping; 0 for none
	OnKeep                      // Number: 1 to keep the node awake from here on, 0 to let it sleep
	OnNoticed                   // Session, Link, Number: NOTICE arrived; milliseconds left
	OnStop                      // the proxy goes down

	// Events of an Instance.

	OnInvoked  // Session, Epoch, Terms: a session begins
	OnLinkUp   // Link: the dial succeeded
	OnLinkDown // Link: it broke; 0: the dial failed
	OnWelcome  // Session, Link: WELCOME arrived
	OnRefused  // Link, Code: the hello was refused
	OnBegan    // Link: a request arrived and is being served
	OnEnded    // a request that began is over, whatever became of it
	OnAsleep   // Session, Link: ASLEEP arrived
	OnStay     // Session, Link, Number: STAY arrived; milliseconds to stay at least
	OnPing     // Session, Link, Number: PING arrived
	OnCut      // nobody waits for the return of the invocation any more
	OnNotice   // Number: the platform ends the instance in so many milliseconds; 0 for at once
	OnRelease  // Link, Number: NOTICE arrived; milliseconds in which the instance is to be done

	// Of both.

	OnTick // Timer: its time has come

	eventKinds
)

// Event is one thing that happened to a machine. Kind says which of the other
// fields mean something.
type Event struct {
	Kind     EventKind
	Timer    Timer
	Class    Class
	Cause    Cause
	Code     wire.Code
	ID       uint64 // the runner's name for a request; unique among those not over
	Session  uint64
	Epoch    uint64
	Link     uint64 // the runner's number of a link, above 0
	Number   uint64 // what it counts is said beside the kind; of PING and PONG: their pairing
	Instance wire.Instance
	Terms    Terms
}

// field is one of the fields that an event or action may carry.
type field uint16

const (
	fID field = 1 << iota
	fSession
	fEpoch
	fLink
	fNumber
	fInstance
	fClass
	fCode
	fTimer
	fTerms
	fKnown
	fReason
	fCause
)

type kind struct {
	name   string
	fields field
}

var eventKindTable = [eventKinds]kind{
	OnRequest:  {"request", fID | fCause},
	OnCancel:   {"cancel", fID},
	OnDone:     {"done", 0},
	OnHello:    {"hello", fSession | fLink | fInstance},
	OnSleep:    {"sleep", fSession | fLink | fNumber},
	OnPong:     {"pong", fLink | fNumber},
	OnHeard:    {"heard", fLink},
	OnLinkLost: {"link-lost", fLink},
	OnBye:      {"bye", fSession | fLink},
	OnReturned: {"returned", fSession | fClass},
	OnPoke:     {"poke", fCause},
	OnHolds:    {"holds", fNumber},
	OnKeep:     {"keep", fNumber},
	OnNoticed:  {"noticed", fSession | fLink | fNumber},
	OnStop:     {"stop", 0},
	OnInvoked:  {"invoked", fSession | fEpoch | fTerms},
	OnLinkUp:   {"link-up", fLink},
	OnLinkDown: {"link-down", fLink},
	OnWelcome:  {"welcome", fSession | fLink},
	OnRefused:  {"refused", fLink | fCode},
	OnBegan:    {"began", fLink},
	OnEnded:    {"ended", 0},
	OnAsleep:   {"asleep", fSession | fLink},
	OnStay:     {"stay", fSession | fLink | fNumber},
	OnPing:     {"ping", fSession | fLink | fNumber},
	OnCut:      {"cut", 0},
	OnNotice:   {"notice", fNumber},
	OnRelease:  {"release", fLink | fNumber},
	OnTick:     {"tick", fTimer},
}

func (k EventKind) String() string {
	if k < eventKinds {
		return eventKindTable[k].name
	}
	return fmt.Sprintf("event(%d)", uint8(k))
}

// String is the event on one line: its kind, then the fields that it carries.
func (e Event) String() string {
	if e.Kind >= eventKinds {
		return e.Kind.String()
	}
	k := eventKindTable[e.Kind]
	var b strings.Builder
	b.WriteString(k.name)
	put := func(f field, name string, v any) {
		if k.fields&f != 0 {
			fmt.Fprintf(&b, " %s=%v", name, v)
		}
	}
	put(fTimer, "timer", e.Timer)
	if e.Cause != Serve {
		put(fCause, "cause", e.Cause)
	}
	put(fID, "id", e.ID)
	put(fSession, "session", e.Session)
	put(fEpoch, "epoch", e.Epoch)
	put(fLink, "link", e.Link)
	if e.Kind != OnStay || e.Number != 0 {
		put(fNumber, "number", e.Number)
	}
	put(fInstance, "instance", e.Instance)
	put(fClass, "class", e.Class)
	put(fCode, "code", fmt.Sprintf("%q", e.Code.Error()))
	put(fTerms, "left", e.Terms.Left)
	put(fTerms, "linger", e.Terms.Linger)
	return b.String()
}
