package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// hello admits an instance to the session, or an admitted one on a new link.
func (n *Node) hello(now time.Duration, ev Event, acts []Action) []Action {
	switch {
	case n.stopped:
		return n.refuse(now, ev.Link, wire.CodeClosed, acts)
	case !n.outstanding || ev.Session != n.session:
		return n.refuse(now, ev.Link, wire.CodeStale, acts)
	case n.phase == Waking:
		return n.welcome(now, ev, acts)
	case n.phase == Ending && !n.agreed:
		return n.refuse(now, ev.Link, wire.CodeStale, acts) // it has said bye
	case ev.Instance != n.speaker:
		// The platform gave one invocation to two instances. The first to
		// speak has the session.
		return n.refuse(now, ev.Link, wire.CodeUnavailable, acts)
	case ev.Link == n.link:
		return n.refuse(now, ev.Link, wire.CodeProtocol, acts)
	}
	// A redial. In Ending it means that the agreement to sleep was lost with the
	// old link, so the node is awake and waits.
	return n.welcome(now, ev, acts)
}

func (n *Node) welcome(now time.Duration, ev Event, acts []Action) []Action {
	acts = n.failSent(wire.CodeUnavailable, acts)
	switch {
	case n.farewell == noFarewell:
	case ev.Instance == n.speaker:
		n.farewell = withSession
	default:
		acts = n.gone(acts)
	}
	if n.link != ev.Link {
		acts = n.closeLink(acts)
	}
	n.phase = Awake
	n.link, n.speaker = ev.Link, ev.Instance
	n.greeting = ev.Session
	n.sent, n.heard = 0, now
	n.agreed, n.poked = false, false
	for _, t := range [...]Timer{TimerWake, TimerPing, TimerUnlink} {
		acts = n.timers.clear(t, acts)
	}
	acts = append(acts, Action{Kind: DoWelcome, Session: ev.Session, Link: ev.Link})
	if !n.greeted {
		n.greeted = true
		acts = n.speaks(now, ev.Instance, acts)
		acts = append(acts, Action{Kind: NoteAwake, Session: ev.Session})
	}
	return n.sendQueue(acts)
}

func (n *Node) refuse(now time.Duration, link uint64, code wire.Code, acts []Action) []Action {
	acts = append(acts, Action{Kind: DoRefuse, Link: link, Code: code})
	return n.linkLost(now, link, acts)
}
