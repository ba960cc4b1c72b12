package lifecycle

import "time"

// waiter is a request that waits to be sent.
type waiter struct {
	id    uint64
	cause Cause
}

// Cause is what the current session, or the last one, is booked to: the smallest
// of what it was invoked for and of every request sent in it. It says so of
// sessions without a hello as well, of which NoteSlept is silent.
func (n *Node) Cause() Cause { return n.cause }

// want remembers somebody who wants the node awake and is not in the queue.
func (n *Node) want(cause Cause) {
	if !n.poked || cause < n.pokedFor {
		n.pokedFor = cause
	}
	n.poked = true
}

// wanted says whether somebody waits for a session.
func (n *Node) wanted() bool { return !n.succeeded && (n.poked || len(n.queue) > 0) }

// wantedFor is the smallest cause of those who wait.
func (n *Node) wantedFor() Cause {
	cause := causes - 1
	if n.poked {
		cause = n.pokedFor
	}
	for _, w := range n.queue {
		cause = min(cause, w.cause)
	}
	return cause
}

// poke wakes the node, or checks a silent link, as a request would, but leaves
// nothing in the queue. A runner whose requests wait long for an answer pokes.
func (n *Node) poke(now time.Duration, cause Cause, acts []Action) []Action {
	if n.stopped {
		return acts
	}
	switch n.phase {
	case Asleep:
		n.want(cause)
		return n.wake(now, acts)
	case Awake:
		trust := n.cfg.TrustFor
		if n.inFlight > 0 {
			trust = min(trust, n.cfg.QuietFor)
		}
		if now-n.heard > trust {
			return n.preflight(now, acts)
		}
	case Unlinked, Ending, Resting:
		n.want(cause)
	case Parting:
		if !n.serves() {
			n.want(cause)
		}
	}
	return acts
}
