package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// sleep answers a node that asks to sleep. The node says how many requests it
// received: if that is all that were sent and all are over, it may go, and the
// answer takes effect in this same step, so that no request follows the
// agreement.
func (n *Node) sleep(now time.Duration, ev Event, acts []Action) []Action {
	if ev.Session != n.greeting || ev.Link == 0 || ev.Link != n.link {
		return acts
	}
	// An instance that leaves has no session while one is awaited here: its time
	// to serve begins when that returns.
	early := n.outstanding && n.farewell == withLink
	if n.phase != Awake && n.phase != Checking && !n.serves() && !early {
		return acts
	}
	if early || n.kept || ev.Number != n.sent || n.inFlight > 0 || len(n.queue) > 0 {
		stay := Action{Kind: DoStay, Session: ev.Session, Link: n.link}
		if n.kept {
			stay.Number = keptStay
		}
		return n.hear(now, ev.Link, append(acts, stay))
	}
	n.agreed, n.heard = true, now
	if n.phase != Parting {
		n.phase = Ending
	}
	acts = n.timers.clear(TimerPing, acts)
	return append(acts, Action{Kind: DoAgreeSleep, Session: ev.Session, Link: n.link})
}

// bye takes leave of a node that must end whatever is on its way to it. What
// crossed the bye will not be answered.
func (n *Node) bye(now time.Duration, ev Event, acts []Action) []Action {
	if ev.Session != n.greeting || ev.Link == 0 || ev.Link != n.link {
		return acts
	}
	switch n.phase {
	case Parting:
		return n.parted(now, acts)
	case Awake, Checking, Ending:
	default:
		return acts
	}
	acts = n.failSent(wire.CodeUnavailable, acts)
	acts = n.closeLink(acts)
	acts = n.timers.clear(TimerPing, acts)
	n.phase, n.agreed = Ending, false
	return n.patience(now, acts)
}
