// Package lifecycle decides when nodes wake, serve and sleep. It holds two
// machines: Node, the proxy's view of one node, and Instance, the same life
// seen from inside the function. Everything that can happen to them is an
// Event, everything they want done is an Action:
//
//	acts = node.Step(now, Event{Kind: OnRequest, ID: 7}, acts[:0])
//	for _, a := range acts { carry a out, in this order }
//
// The machines are pure. They know no socket, clock, goroutine or logger; the
// same events at the same times give the same actions. Whoever runs one owns
// the links, the platform and the timers, carries actions out in the order
// given, and decides nothing.
//
// What a runner promises:
//
//   - It steps a machine from one goroutine at a time, with a now that never
//     falls: monotonic time since an origin of its choice.
//   - Links have numbers above 0 that it never uses twice. Events of one link
//     come in the order in which the link delivered them.
//   - It may report OnHeard late, but not later than before the next OnRequest,
//     OnPoke or OnTick of that node.
//   - It answers SetTimer with an OnTick at or after the time given. A tick is a
//     hint: one that is late, early or of a timer since cleared does no harm, so
//     stopping a timer need not be exact.
//   - To an Instance that is Waiting and holds nothing it says OnNotice with no time
//     left: nobody will come for that.
//
// An event that does not fit the state is ignored or refused and never panics.
//
// docs/lifecycle.md draws the states and arrows and tells a read's story in
// times.
package lifecycle

import "fmt"

// NodePhase is where a node is, as its proxy sees it.
type NodePhase uint8

const (
	// Asleep: no invocation is outstanding. A link may be kept from the last
	// session, to a process that is frozen.
	Asleep NodePhase = iota
	// Waking: invoked, and no valid hello yet.
	Waking
	// Awake: welcomed on a link.
	Awake
	// Checking: awake, but the link was silent for too long and a preflight is
	// outstanding.
	Checking
	// Unlinked: the session runs, its link was lost, a redial is awaited.
	Unlinked
	// Ending: sleep was agreed or a bye received, and the invocation has not
	// returned yet.
	Ending
	// Resting: the last invocation failed; the next waits for the back-off.
	Resting
	// Parting: no invocation is outstanding, but the instance that spoke last was
	// told by its platform that it ends, and until then serves on the link kept
	// from its last session.
	Parting

	nodePhases
)

var nodePhaseNames = [nodePhases]string{
	"asleep", "waking", "awake", "checking", "unlinked", "ending", "resting", "parting",
}

func (p NodePhase) String() string {
	if p < nodePhases {
		return nodePhaseNames[p]
	}
	return fmt.Sprintf("node-phase(%d)", uint8(p))
}

// InstancePhase is where an instance is in its session.
type InstancePhase uint8

const (
	// Idle: no session; the process is frozen or about to be.
	Idle InstancePhase = iota
	// Joining: invoked, and dialling or waiting for the welcome.
	Joining
	// Serving: welcomed.
	Serving
	// Asking: sleep was asked for and not answered yet.
	Asking
	// Rejoining: the link was lost in a session; dialling or waiting for the
	// welcome.
	Rejoining
	// Leaving: the platform said that it ends the instance, and the proxy was
	// told; requests are served until the time is over or nothing is left to ask.
	// It may outlast the session, and may begin without one.
	Leaving
	// Waiting: the platform said that it ends the instance, and no proxy is there to
	// be told. One that comes back before that may invoke it.
	Waiting

	instancePhases
)

var instancePhaseNames = [instancePhases]string{
	"idle", "joining", "serving", "asking", "rejoining", "leaving", "waiting",
}

func (p InstancePhase) String() string {
	if p < instancePhases {
		return instancePhaseNames[p]
	}
	return fmt.Sprintf("instance-phase(%d)", uint8(p))
}
