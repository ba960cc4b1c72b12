package lifecycle

import (
	"fmt"
	"time"
)

// Timer names one of a machine's timers. Each is set to one time or to none.
type Timer uint8

const (
	// Timers of a Node.

	TimerWake   Timer = iota // the queue's patience while no session serves
	TimerRest                // the back-off before the next invoke
	TimerPing                // the preflight's answer
	TimerUnlink              // the queue's patience while the link is lost
	TimerWarm                // the next warm-up of a node that is asleep
	TimerLeave               // the end of an instance that leaves without a session

	// Timers of an Instance.

	TimerWelcome  // the answer to a hello on a link kept from before
	TimerJoin     // the welcome, whatever it takes
	TimerDial     // the pause before another dial
	TimerLinger   // another request
	TimerAnswer   // the answer to SLEEP
	TimerRedial   // the welcome after a lost link
	TimerDeadline // the platform's limit or the end of its notice, less a margin

	timerKinds
)

var timerNames = [timerKinds]string{
	"wake", "rest", "ping", "unlink", "warm", "leave",
	"welcome", "join", "dial", "linger", "answer", "redial", "deadline",
}

func (t Timer) String() string {
	if t < timerKinds {
		return timerNames[t]
	}
	return fmt.Sprintf("timer(%d)", uint8(t))
}

// timers is what a machine has set. It judges ticks by time and not by their
// arrival, so that a tick left over from an earlier setting, or delivered after
// a thaw, cannot pass for a later one.
type timers struct {
	at  [timerKinds]time.Duration
	set uint16 // one bit for each Timer
}

func (t *timers) isSet(k Timer) bool { return t.set&(1<<k) != 0 }

func (t *timers) arm(k Timer, at time.Duration, acts []Action) []Action {
	t.at[k], t.set = at, t.set|1<<k
	return append(acts, Action{Kind: DoSetTimer, Timer: k, At: at})
}

func (t *timers) clear(k Timer, acts []Action) []Action {
	if !t.isSet(k) {
		return acts
	}
	t.set &^= 1 << k
	return append(acts, Action{Kind: DoClearTimer, Timer: k})
}

func (t *timers) clearAll(acts []Action) []Action {
	for k := range timerKinds {
		acts = t.clear(k, acts)
	}
	return acts
}

// fire says whether timer k is due, and if so unsets it. A tick before its time
// sets the timer again, because the runner may have no other tick in store.
func (t *timers) fire(now time.Duration, k Timer, acts []Action) (bool, []Action) {
	switch {
	case k >= timerKinds || !t.isSet(k):
		return false, acts
	case now < t.at[k]:
		return false, append(acts, Action{Kind: DoSetTimer, Timer: k, At: t.at[k]})
	}
	t.set &^= 1 << k
	return true, acts
}
