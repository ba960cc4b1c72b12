package node

import (
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/wire"
)

// now is the time on the machine's clock.
func (n *Node) now() time.Duration { return time.Since(n.origin) }

// step tells the machine what happened and carries out its orders. The mutex is
// held, and no order waits.
func (n *Node) step(ev lifecycle.Event) {
	n.carryOut(n.machine.Step(n.now(), ev, n.acts[:0]))
	n.settle()
}

// settle tells the machine of the requests that ended without their asker
// hearing of it, and of an end that need not be waited for.
func (n *Node) settle() {
	for ; n.over > 0; n.over-- {
		n.carryOut(n.machine.Step(n.now(), lifecycle.Event{Kind: lifecycle.OnEnded}, n.acts[:0]))
	}
	if n.machine.Phase() == lifecycle.Waiting && (n.store == nil || n.store.Len() == 0) {
		n.carryOut(n.machine.Step(n.now(), lifecycle.Event{Kind: lifecycle.OnNotice}, n.acts[:0]))
	}
}

func (n *Node) carryOut(acts []lifecycle.Action) {
	for i := range acts {
		n.do(&acts[i])
	}
	n.acts = acts
}

// do carries out one order. It must not step the machine, whose other orders
// are waiting.
func (n *Node) do(a *lifecycle.Action) {
	switch a.Kind {
	case lifecycle.DoSetTimer:
		n.setTimer(a.Timer, a.At)
	case lifecycle.DoClearTimer:
		if t := n.timers[a.Timer]; t != nil {
			t.Stop()
		}
	case lifecycle.DoDial:
		n.startDial()
	case lifecycle.DoHello:
		n.hello(n.links[a.Link])
	case lifecycle.DoAskSleep:
		n.say(a, wire.TypeSleep)
	case lifecycle.DoPong:
		n.say(a, wire.TypePong)
	case lifecycle.DoBye:
		n.say(a, wire.TypeBye)
	case lifecycle.DoNotice:
		n.say(a, wire.TypeNotice)
	case lifecycle.DoReset:
		n.reset(a.Link)
	case lifecycle.DoLeave:
		n.mayLeave()
	case lifecycle.DoReturn:
		n.session.returned <- a.Reason
	}
}

func (n *Node) setTimer(which lifecycle.Timer, at time.Duration) {
	in := max(0, at-n.now())
	if t := n.timers[which]; t != nil {
		t.Reset(in)
		return
	}
	n.timers[which] = time.AfterFunc(in, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.step(lifecycle.Event{Kind: lifecycle.OnTick, Timer: which})
	})
}

// say sends a word about the session.
func (n *Node) say(a *lifecycle.Action, t wire.Type) {
	if l := n.links[a.Link]; l != nil {
		_ = l.conn.Send(t, wire.CodeOK, 0, &wire.Session{Epoch: n.machine.Epoch(), Session: a.Session, Number: a.Number})
	}
}

// hello says who is here and what it holds.
func (n *Node) hello(l *proxyLink) {
	if l == nil {
		return
	}
	inv := n.session.inv
	_ = l.conn.Send(wire.TypeHello, wire.CodeOK, 0, &wire.Hello{
		Node:     inv.Node,
		Instance: n.instance,
		Epoch:    inv.Epoch,
		Session:  inv.Session,
		Proof:    [wire.ProofSize]byte(inv.Secret),
		Capacity: uint64(n.store.Capacity()),
		Used:     uint64(n.store.Used()),
		Chunks:   uint64(n.store.Len()),
		Position: n.history.position,
		Digest:   n.history.digest,
	})
}

// partingPatience is how long a link may take to write what precedes its end.
const partingPatience = 200 * time.Millisecond

// reset closes a link when what was said on it is written, or gives up the dial
// under way for number 0. What was being served on the link ends unanswered.
func (n *Node) reset(number uint64) {
	if number == 0 {
		n.dial.giveUp()
		n.dial = nil
		return
	}
	l := n.links[number]
	if l == nil {
		return
	}
	l.abandon()
	l.conn.Finish(nil)
	l.patience = time.AfterFunc(partingPatience, func() { l.conn.Close(nil) })
}
