package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// farewell is what the platform's notice to an instance means for its node.
type farewell uint8

const (
	noFarewell  farewell = iota
	withSession          // the instance ends with the session that it is in
	withLink             // it is in no session, or will soon be in none, and ends with its link
)

// noticed takes the word of the instance on the current or kept link that its
// platform ends it.
func (n *Node) noticed(now time.Duration, ev Event, acts []Action) []Action {
	if n.stopped || n.link == 0 || ev.Link != n.link || ev.Session != n.greeting || n.farewell != noFarewell {
		return acts
	}
	if n.phase != Awake && n.phase != Checking && n.holdings.index(n.speaker) < 0 {
		return n.closeLink(acts) // it was lost at the other seat: nothing is to be had of it
	}
	acts = append(acts, Action{Kind: NoteLeaving, Session: ev.Session, Instance: n.speaker, Number: ev.Number})
	n.farewell, n.until = withLink, now+said(ev.Number)
	n.holdings.serves(n.speaker, ev.Session)
	switch n.phase {
	case Awake, Checking:
		n.farewell = withSession
		return n.hear(now, ev.Link, acts)
	case Asleep, Resting:
		return n.part(now, acts)
	}
	return acts // the invocation's return comes first
}

// part begins Parting. Both ends count requests from here.
func (n *Node) part(now time.Duration, acts []Action) []Action {
	n.phase = Parting
	n.sent, n.heard, n.agreed = 0, now, false
	n.rested, n.barred = now, false
	n.holdings.serves(n.speaker, n.greeting)
	for _, t := range [...]Timer{TimerWake, TimerRest, TimerWarm} {
		acts = n.timers.clear(t, acts)
	}
	acts = n.timers.arm(TimerLeave, n.until, acts)
	return n.sendQueue(acts)
}

// serves says that requests go out at once, however silent the link.
func (n *Node) serves() bool { return n.phase == Parting && !n.agreed }

// parted ends Parting: the instance is gone.
func (n *Node) parted(now time.Duration, acts []Action) []Action {
	acts = n.failSent(wire.CodeUnavailable, acts)
	acts = n.closeLink(acts)
	acts = n.timers.clear(TimerLeave, acts)
	acts = n.gone(acts)
	n.agreed, n.kept = false, false
	n.phase = Asleep
	if n.wanted() {
		return n.wake(now, acts)
	}
	return n.fallAsleep(now, acts)
}

// gone loses an instance that had its notice.
func (n *Node) gone(acts []Action) []Action {
	n.farewell = noFarewell
	return n.lose(n.speaker, acts)
}
