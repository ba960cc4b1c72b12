package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// preflight asks whether the node is still there before the queue is sent.
func (n *Node) preflight(now time.Duration, acts []Action) []Action {
	n.phase = Checking
	n.ping++
	acts = append(acts, Action{Kind: DoPing, Link: n.link, Session: n.session, Number: n.ping})
	return n.timers.arm(TimerPing, now+n.cfg.PingBudget, acts)
}

func (n *Node) pong(now time.Duration, ev Event, acts []Action) []Action {
	if n.phase == Checking && ev.Link == n.link && ev.Number == n.ping {
		return n.trust(now, acts)
	}
	return n.hear(now, ev.Link, acts)
}

// hear notes a sign of life. It answers an outstanding preflight as well: the
// pong may be queued behind blocks on a busy link. In the paper's mode only the
// pong does.
func (n *Node) hear(now time.Duration, link uint64, acts []Action) []Action {
	if link != n.link {
		return acts
	}
	n.heard = now
	if n.phase == Checking && !n.cfg.PingEveryRequest {
		return n.trust(now, acts)
	}
	return acts
}

func (n *Node) trust(now time.Duration, acts []Action) []Action {
	n.phase, n.heard = Awake, now
	return n.sendQueue(n.timers.clear(TimerPing, acts))
}

// unanswered gives up a link that did not answer a preflight. The node is not
// invoked again for it: its invocation has not returned.
func (n *Node) unanswered(now time.Duration, acts []Action) []Action {
	acts = n.failSent(wire.CodeUnavailable, acts)
	acts = n.closeLink(acts)
	return n.unlink(now, acts)
}

func (n *Node) closeLink(acts []Action) []Action {
	if n.link == 0 {
		return acts
	}
	link := n.link
	n.link = 0
	return append(acts, Action{Kind: DoCloseLink, Link: link})
}

func (n *Node) linkLost(now time.Duration, link uint64, acts []Action) []Action {
	if link == 0 || link != n.link {
		return acts
	}
	acts = n.failSent(wire.CodeUnavailable, acts)
	n.link = 0
	switch n.phase {
	case Awake, Checking:
		return n.unlink(now, acts)
	case Parting:
		return n.parted(now, acts)
	}
	return acts
}

func (n *Node) unlink(now time.Duration, acts []Action) []Action {
	n.phase = Unlinked
	return n.patience(now, n.timers.clear(TimerPing, acts))
}
