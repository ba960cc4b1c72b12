package lifecycle

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config tunes a Node. A zero field means its default.
type Config struct {
	// WakeBudget is how long requests wait for a node that no session serves,
	// from the first invoke (5 s). Raise it for functions slow to start.
	WakeBudget time.Duration
	// MaxWakes is how many wakes in a row may fail before the queue fails (3).
	// From then on one failed wake is enough, until one succeeds or the node was
	// left alone for a WakeBudget.
	MaxWakes int
	// BackoffMin and BackoffMax bound the rest after a failed wake (50 ms, 2 s).
	// It doubles with each, and a random part of up to half is taken off.
	BackoffMin, BackoffMax time.Duration
	// PingBudget is how long a preflight may take (250 ms).
	PingBudget time.Duration
	// TrustFor is how long a link may have been silent and still be given a
	// request without a preflight (10 s).
	TrustFor time.Duration
	// QuietFor is how long a link may be silent while requests on it wait for an
	// answer; a poke then asks for a preflight (500 ms).
	QuietFor time.Duration
	// RedialFor is how long requests wait for a lost link to be renewed (1 s).
	RedialFor time.Duration
	// MaxQueue is how many requests may wait (1024); one more fails as busy.
	MaxQueue int
	// UnheardLimit is after how many sessions of other instances an instance is
	// lost (2). Where the platform never runs two instances of a node, 1: a new
	// one means that the old one is gone.
	UnheardLimit int
	// Replicas says that the platform can run two instances of the node. Then, for
	// one that was in session together with another, only sessions of instances
	// not known before count towards UnheardLimit: of two known ones the platform
	// may wake the same again and again, which says nothing of the other.
	Replicas bool
	// UnheardAge is how long an instance may be unheard before it is lost
	// (15 min). It is judged when something happens to the node.
	UnheardAge time.Duration
	// FirstSession is the first session's number (1); later ones rise from it.
	FirstSession uint64
	// Holdings are shared by the seats of a node; nil gives the Node its own.
	Holdings *Holdings
	// Seed is where the jitter comes from. Give every node its own.
	Seed uint64
	// WarmEvery is how often a node that sleeps and holds something is woken only
	// to keep its instance; 0 for never.
	WarmEvery time.Duration
	// WarmPhase is where in WarmEvery this node's warm-ups lie. Spread the nodes of
	// a pool over it with the function of that name.
	WarmPhase time.Duration
	// WarmFor is how long after the last request that serves, or after it began to
	// hold something, a node is still kept warm (1 h). What nobody asks for in that
	// time may be lost.
	WarmFor time.Duration
	// PingEveryRequest asks for a preflight before every request to an awake
	// node, as the paper does. It is there to compare with.
	PingEveryRequest bool
}

// rememberedInstances bounds the instances of one node whose holdings are
// followed. Two are ordinary (primary and replica), a third is an accident.
const rememberedInstances = 4

// filled is c with defaults, or every complaint about it at once.
func (c Config) filled() (Config, error) {
	c.WakeBudget = cmp.Or(c.WakeBudget, 5*time.Second)
	c.MaxWakes = cmp.Or(c.MaxWakes, 3)
	c.BackoffMin = cmp.Or(c.BackoffMin, 50*time.Millisecond)
	c.BackoffMax = cmp.Or(c.BackoffMax, 2*time.Second)
	c.PingBudget = cmp.Or(c.PingBudget, 250*time.Millisecond)
	c.TrustFor = cmp.Or(c.TrustFor, 10*time.Second)
	c.QuietFor = cmp.Or(c.QuietFor, 500*time.Millisecond)
	c.RedialFor = cmp.Or(c.RedialFor, time.Second)
	c.MaxQueue = cmp.Or(c.MaxQueue, 1024)
	c.UnheardLimit = cmp.Or(c.UnheardLimit, 2)
	c.UnheardAge = cmp.Or(c.UnheardAge, 15*time.Minute)
	c.WarmFor = cmp.Or(c.WarmFor, time.Hour)
	c.FirstSession = cmp.Or(c.FirstSession, 1)

	var bad []error
	for _, f := range []struct {
		name string
		v    time.Duration
	}{
		{"WakeBudget", c.WakeBudget}, {"BackoffMin", c.BackoffMin}, {"BackoffMax", c.BackoffMax},
		{"PingBudget", c.PingBudget}, {"TrustFor", c.TrustFor}, {"QuietFor", c.QuietFor}, {"RedialFor", c.RedialFor},
		{"UnheardAge", c.UnheardAge},
		{"WarmEvery", c.WarmEvery}, {"WarmPhase", c.WarmPhase}, {"WarmFor", c.WarmFor},
	} {
		if f.v < 0 {
			bad = append(bad, fmt.Errorf("%s is %v, allowed is 0 or more", f.name, f.v))
		}
	}
	for _, f := range []struct {
		name string
		v    int
	}{{"MaxWakes", c.MaxWakes}, {"MaxQueue", c.MaxQueue}, {"UnheardLimit", c.UnheardLimit}} {
		if f.v < 0 {
			bad = append(bad, fmt.Errorf("%s is %d, allowed is 1 or more", f.name, f.v))
		}
	}
	if c.BackoffMin > c.BackoffMax {
		bad = append(bad, fmt.Errorf("BackoffMin is %v, allowed is up to BackoffMax, %v", c.BackoffMin, c.BackoffMax))
	}
	if len(bad) > 0 {
		return c, fmt.Errorf("lifecycle: %w", errors.Join(bad...))
	}
	return c, nil
}
