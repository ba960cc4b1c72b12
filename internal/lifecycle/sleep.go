package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// sleep answers a node that asks to sleep. The node says how many requests it
// received: if that is all that were sent and all are over, it may go, and the
// phase changes in this same step, so that no request follows the agreement.
func (n *Node) sleep(now time.Duration, ev Event, acts []Action) []Action {
	if n.phase != Awake && n.phase != Checking || ev.Session != n.session || ev.Link != n.link {
		return acts
	}
	if ev.Number != n.sent || n.inFlight > 0 || len(n.queue) > 0 {
		acts = append(acts, Action{Kind: DoStay, Session: n.session, Link: n.link})
		return n.hear(now, ev.Link, acts)
	}
	n.phase, n.agreed, n.heard = Ending, true, now
	acts = n.timers.clear(TimerPing, acts)
	return append(acts, Action{Kind: DoAgreeSleep, Session: n.session, Link: n.link})
}

// bye takes leave of a node that must end whatever is on its way to it. What
// crossed the bye will not be answered.
func (n *Node) bye(now time.Duration, ev Event, acts []Action) []Action {
	if n.phase != Awake && n.phase != Checking && n.phase != Ending ||
		ev.Session != n.session || ev.Link == 0 || ev.Link != n.link {
		return acts
	}
	acts = n.failSent(wire.CodeUnavailable, acts)
	acts = n.closeLink(acts)
	acts = n.timers.clear(TimerPing, acts)
	n.phase, n.agreed = Ending, false
	return n.patience(now, acts)
}
