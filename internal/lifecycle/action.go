package lifecycle

import (
	"fmt"
	"strings"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// ActionKind says what is to be done.
type ActionKind uint8

const (
	// Actions of a Node.

	DoInvoke     ActionKind = iota // Session, Cause: invoke the node, one attempt; OnReturned must follow, once
	DoSend                         // ID, Link: put the request on the link; OnDone must follow unless FailSent comes first
	DoFail                         // ID, Code: the request was never sent and is over
	DoFailSent                     // Link, Code: every request sent and not over has failed; no OnDone for them
	DoWelcome                      // Link, Session: answer the hello with WELCOME
	DoRefuse                       // Link, Code: answer the hello with Code and close that link
	DoAgreeSleep                   // Link, Session: answer SLEEP with ASLEEP
	DoStay                         // Link, Session, Number: answer SLEEP with STAY for so many milliseconds at least
	DoPing                         // Link, Session, Number: send PING
	DoCloseLink                    // Link: close it; nothing of it is awaited

	// What a Node tells the catalog and the meter.

	NoteInstance // Instance, Session, Known: this instance speaks for the node from here on; Known if it did before
	NoteUnheard  // Instance: another one speaks; its holdings may still exist
	NoteLost     // Instance: its holdings are known gone
	NoteAwake    // Session: the session serves
	NoteSlept    // Session, Cause: a session that served is over, and what it is booked to
	NoteLeaving  // Session, Instance, Number: the platform takes the instance in so many milliseconds

	// Actions of an Instance.

	DoDial     // open a link to the proxy; OnLinkUp, or OnLinkDown with link 0, must follow
	DoHello    // Link, Session: send HELLO
	DoAskSleep // Link, Session, Number: send SLEEP
	DoPong     // Link, Session, Number: send PONG
	DoBye      // Link, Session: send BYE
	DoNotice   // Link, Session, Number: send NOTICE
	DoReset    // Link: close it at once; 0: give up the dial
	DoLeave    // after a notice: nothing is left to do, and no session is taken any more; the process may end
	DoReturn   // Session, Reason: end the invocation, after everything before it was written

	// Of both.

	DoSetTimer   // Timer, At: replaces the timer's earlier time
	DoClearTimer // Timer

	actionKinds
)

// Action is one order of a machine. Kind says which of the other fields mean
// something.
type Action struct {
	Kind     ActionKind
	Timer    Timer
	Reason   Reason
	Cause    Cause
	Known    bool
	Code     wire.Code
	ID       uint64
	Session  uint64
	Link     uint64
	Number   uint64
	At       time.Duration // on the clock that Step's now is read from
	Instance wire.Instance
}

var actionKindTable = [actionKinds]kind{
	DoInvoke:     {"invoke", fSession | fCause},
	DoSend:       {"send", fID | fLink},
	DoFail:       {"fail", fID | fCode},
	DoFailSent:   {"fail-sent", fLink | fCode},
	DoWelcome:    {"welcome", fSession | fLink},
	DoRefuse:     {"refuse", fLink | fCode},
	DoAgreeSleep: {"agree-sleep", fSession | fLink},
	DoStay:       {"stay", fSession | fLink | fNumber},
	DoPing:       {"ping", fSession | fLink | fNumber},
	DoCloseLink:  {"close-link", fLink},
	NoteInstance: {"instance-is", fSession | fInstance | fKnown},
	NoteUnheard:  {"unheard", fInstance},
	NoteLost:     {"lost", fInstance},
	NoteAwake:    {"awake", fSession},
	NoteSlept:    {"slept", fSession | fCause},
	NoteLeaving:  {"leaving", fSession | fInstance | fNumber},
	DoDial:       {"dial", 0},
	DoHello:      {"hello", fSession | fLink},
	DoAskSleep:   {"ask-sleep", fSession | fLink | fNumber},
	DoPong:       {"pong", fSession | fLink | fNumber},
	DoBye:        {"bye", fSession | fLink},
	DoNotice:     {"notice", fSession | fLink | fNumber},
	DoReset:      {"reset", fLink},
	DoLeave:      {"leave", 0},
	DoReturn:     {"return", fSession | fReason},
	DoSetTimer:   {"set-timer", fTimer},
	DoClearTimer: {"clear-timer", fTimer},
}

func (k ActionKind) String() string {
	if k < actionKinds {
		return actionKindTable[k].name
	}
	return fmt.Sprintf("action(%d)", uint8(k))
}

// String is the action on one line: its kind, then the fields that it carries.
func (a Action) String() string {
	if a.Kind >= actionKinds {
		return a.Kind.String()
	}
	k := actionKindTable[a.Kind]
	var b strings.Builder
	b.WriteString(k.name)
	put := func(f field, name string, v any) {
		if k.fields&f != 0 {
			fmt.Fprintf(&b, " %s=%v", name, v)
		}
	}
	put(fTimer, "timer", a.Timer)
	if a.Cause != Serve {
		put(fCause, "cause", a.Cause)
	}
	put(fID, "id", a.ID)
	put(fSession, "session", a.Session)
	put(fLink, "link", a.Link)
	if a.Kind != DoStay || a.Number != 0 {
		put(fNumber, "number", a.Number)
	}
	put(fInstance, "instance", a.Instance)
	put(fKnown, "known", a.Known)
	put(fCode, "code", fmt.Sprintf("%q", a.Code.Error()))
	put(fReason, "reason", a.Reason)
	if a.Kind == DoSetTimer {
		fmt.Fprintf(&b, " at=%v", a.At)
	}
	return b.String()
}
