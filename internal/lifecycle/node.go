package lifecycle

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Node is the proxy's view of one node: whether it sleeps, wakes or serves, what
// waits for it, and which instances hold something of it. Make one with NewNode.
//
// Every request given to it ends in one of three ways: DoFail before it was
// sent, DoFailSent after, or OnDone from the runner.
type Node struct {
	cfg    Config
	jitter *rand.Rand
	phase  NodePhase
	timers timers

	session     uint64 // of the last invoke
	numbers     uint64 // the last session number taken
	outstanding bool   // that invocation has not returned
	greeted     bool   // that session had a valid hello
	agreed      bool   // that session's sleep was agreed; in Parting, the instance's end
	kept        bool   // it is not to sleep
	cause       Cause  // what it is booked to

	link     uint64        // current or kept; 0 for none
	greeting uint64        // session of the link's last welcome
	speaker  wire.Instance // whose link it is, in a session that was greeted
	sent     uint64        // requests put on this link in this session, or in Parting
	inFlight int           // those not over
	heard    time.Duration // when the link last gave a sign of life
	ping     uint64        // number of the last preflight

	queue     []waiter // requests that wait, oldest first
	poked     bool     // wanted awake by somebody who is not in the queue
	pokedFor  Cause    // the smallest cause of those
	stopped   bool
	succeeded bool // it invokes nobody any more, see Successor

	farewell farewell      // the speaker was told that it ends
	until    time.Duration // when, at the latest

	failures int           // wakes that failed in a row
	barred   bool          // the last wake's class was hopeless
	bar      wire.Code     // with which requests fail then
	rested   time.Duration // when the last rest ended

	held   uint64        // bytes worth keeping
	served time.Duration // when the last request that serves came, or the first byte
	ended  time.Duration // when the last session did

	holdings *Holdings
}

// NewNode makes a node that is asleep. Its error names every bad field of cfg.
func NewNode(cfg Config) (*Node, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	return &Node{
		cfg:     cfg,
		jitter:  rand.New(rand.NewPCG(cfg.Seed, 0)),
		session: cfg.FirstSession - 1,
		numbers: cfg.FirstSession - 1,
		ended:   math.MinInt64 / 2, // long ago

		holdings: cmp.Or(cfg.Holdings, &Holdings{}),
	}, nil
}

// Above says that sessions up to the one given are taken: the next invoke's
// number is higher. The seats of a node number their sessions in one row, because
// an instance refuses a number that is not above the last that it saw, whichever
// seat that came from.
func (n *Node) Above(session uint64) { n.numbers = max(n.numbers, session) }

// Successor makes the machine that the node's next instance is invoked by, while this
// one looks after the last words of an instance that leaves. From then on this one
// begins no session: requests that it cannot send fail.
func (n *Node) Successor() *Node {
	next := &Node{
		cfg:     n.cfg,
		jitter:  rand.New(rand.NewPCG(n.cfg.Seed, n.numbers)),
		session: n.cfg.FirstSession - 1,
		numbers: n.numbers,
		held:    n.held,
		served:  n.served,
		ended:   n.ended,

		holdings: n.holdings,
	}
	n.succeeded, n.cfg.WarmEvery = true, 0
	return next
}

// Phase is where the node is.
func (n *Node) Phase() NodePhase { return n.phase }

// Session is the number of the last session invoked; one below the first where
// there was none.
func (n *Node) Session() uint64 { return n.session }

// Link is the number of the current or kept link; 0 for none.
func (n *Node) Link() uint64 { return n.link }

// Queued is how many requests wait to be sent.
func (n *Node) Queued() int { return len(n.queue) }

// InFlight is how many requests are sent and not over.
func (n *Node) InFlight() int { return n.inFlight }

// Step takes one event and appends what is to be done, in order, to acts.
func (n *Node) Step(now time.Duration, ev Event, acts []Action) []Action {
	switch ev.Kind {
	case OnRequest:
		return n.request(now, ev.ID, ev.Cause, acts)
	case OnHeard:
		return n.hear(now, ev.Link, acts)
	case OnDone:
		n.inFlight = max(0, n.inFlight-1)
	case OnCancel:
		return n.cancel(ev.ID, acts)
	case OnHello:
		return n.hello(now, ev, acts)
	case OnSleep:
		return n.sleep(now, ev, acts)
	case OnPong:
		return n.pong(now, ev, acts)
	case OnLinkLost:
		return n.linkLost(now, ev.Link, acts)
	case OnBye:
		return n.bye(now, ev, acts)
	case OnReturned:
		return n.returned(now, ev, acts)
	case OnTick:
		return n.tick(now, ev.Timer, acts)
	case OnPoke:
		return n.poke(now, ev.Cause, acts)
	case OnHolds:
		return n.holds(now, ev.Number, acts)
	case OnKeep:
		n.kept = ev.Number != 0 && !n.stopped
	case OnNoticed:
		return n.noticed(now, ev, acts)
	case OnStop:
		return n.stop(acts)
	}
	return acts
}

func (n *Node) request(now time.Duration, id uint64, cause Cause, acts []Action) []Action {
	if cause == Serve {
		n.served = now
	}
	trusted := n.phase == Awake && !n.cfg.PingEveryRequest && now-n.heard <= n.cfg.TrustFor
	if trusted || n.serves() {
		return n.send(waiter{id, cause}, acts)
	}
	switch {
	case n.stopped:
		return append(acts, Action{Kind: DoFail, ID: id, Code: wire.CodeClosed})
	case n.barred:
		return append(acts, Action{Kind: DoFail, ID: id, Code: n.bar})
	case len(n.queue) >= n.cfg.MaxQueue:
		return append(acts, Action{Kind: DoFail, ID: id, Code: wire.CodeBusy})
	}
	n.queue = append(n.queue, waiter{id, cause})
	switch n.phase {
	case Awake:
		return n.preflight(now, acts)
	case Asleep:
		return n.wake(now, acts)
	}
	return n.patience(now, acts)
}

// send assigns a request to the link. The count and the assignment are one
// step, so that no agreement to sleep can slip between.
func (n *Node) send(w waiter, acts []Action) []Action {
	n.sent++
	n.inFlight++
	if n.outstanding {
		n.cause = min(n.cause, w.cause)
	}
	return append(acts, Action{Kind: DoSend, ID: w.id, Link: n.link})
}

func (n *Node) sendQueue(acts []Action) []Action {
	for _, w := range n.queue {
		acts = n.send(w, acts)
	}
	n.queue = n.queue[:0]
	return acts
}

func (n *Node) failQueue(code wire.Code, acts []Action) []Action {
	for _, w := range n.queue {
		acts = append(acts, Action{Kind: DoFail, ID: w.id, Code: code})
	}
	n.queue = n.queue[:0]
	return acts
}

// failSent gives up what is on the current link.
func (n *Node) failSent(code wire.Code, acts []Action) []Action {
	if n.inFlight == 0 {
		return acts
	}
	n.inFlight = 0
	return append(acts, Action{Kind: DoFailSent, Link: n.link, Code: code})
}

// cancel takes a request out of the queue. One that is on the link stays in
// flight until the runner says that it is over.
func (n *Node) cancel(id uint64, acts []Action) []Action {
	i := slices.IndexFunc(n.queue, func(w waiter) bool { return w.id == id })
	if i < 0 {
		return acts
	}
	n.queue = slices.Delete(n.queue, i, i+1)
	return append(acts, Action{Kind: DoFail, ID: id, Code: wire.CodeCanceled})
}

// patience sees to it that a queue that waits for others to act has a timer.
// Requests that join later share it.
func (n *Node) patience(now time.Duration, acts []Action) []Action {
	if len(n.queue) == 0 {
		return acts
	}
	switch n.phase {
	case Waking, Ending, Resting, Parting:
		if !n.timers.isSet(TimerWake) {
			return n.timers.arm(TimerWake, now+n.cfg.WakeBudget, acts)
		}
	case Unlinked:
		if !n.timers.isSet(TimerUnlink) {
			return n.timers.arm(TimerUnlink, now+n.cfg.RedialFor, acts)
		}
	}
	return acts
}

func (n *Node) tick(now time.Duration, t Timer, acts []Action) []Action {
	due, acts := n.timers.fire(now, t, acts)
	if !due {
		return acts
	}
	switch t {
	case TimerWake:
		return n.failQueue(wire.CodeTimeout, acts)
	case TimerUnlink:
		return n.failQueue(wire.CodeUnavailable, acts)
	case TimerPing:
		return n.unanswered(now, acts)
	case TimerRest:
		return n.restOver(now, acts)
	case TimerWarm:
		return n.warmUp(now, acts)
	case TimerLeave:
		return n.parted(now, acts)
	}
	return acts
}

func (n *Node) stop(acts []Action) []Action {
	if n.stopped {
		return acts
	}
	n.stopped = true
	acts = n.failQueue(wire.CodeClosed, acts)
	acts = n.failSent(wire.CodeClosed, acts)
	acts = n.closeLink(acts)
	acts = n.timers.clearAll(acts)
	n.agreed, n.poked, n.kept = false, false, false
	n.phase = Asleep
	if n.outstanding {
		n.phase = Ending
	}
	return acts
}
