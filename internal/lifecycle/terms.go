package lifecycle

import (
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Terms is what an invocation brings along: an instance has no configuration of
// its own. A field at or below zero means its default, except Left.
type Terms struct {
	// Left is the time until the platform ends the invocation; zero where it
	// does not.
	Left time.Duration
	// Margin is how long before that the instance ends the session itself (a
	// tenth of Left, at most 1 s). One not below Left is not taken.
	Margin time.Duration
	// Linger is how long to stay after the last request, hoping for another
	// (1 s). A quantum that is not above its margin is not taken.
	Linger wire.Linger
	// WelcomeBudget is how long a link kept from before may take to answer a
	// hello (200 ms).
	WelcomeBudget time.Duration
	// JoinBudget is how long the welcome may take in all (3 s).
	JoinBudget time.Duration
	// AnswerBudget is how long the proxy may take to answer SLEEP (500 ms).
	AnswerBudget time.Duration
	// RedialFor is how long a link lost in the session may take to be renewed
	// (1 s).
	RedialFor time.Duration
}

// dialPause keeps an instance from dialling a proxy that turns it away in a
// loop.
const dialPause = 50 * time.Millisecond

func (t Terms) filled() Terms {
	fill := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if t.Margin >= t.Left {
		t.Margin = 0
	}
	fill(&t.Margin, min(t.Left/10, time.Second))
	if t.Linger.Quantum <= max(t.Linger.Margin, 0) {
		t.Linger = wire.Linger{Stay: t.Linger.Stay}
		fill(&t.Linger.Stay, time.Second)
	}
	fill(&t.WelcomeBudget, 200*time.Millisecond)
	fill(&t.JoinBudget, 3*time.Second)
	fill(&t.AnswerBudget, 500*time.Millisecond)
	fill(&t.RedialFor, time.Second)
	return t
}
