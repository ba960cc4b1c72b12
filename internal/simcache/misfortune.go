package simcache

import "time"

// Misfortune is something that a platform does to its functions.
type Misfortune string

// The misfortunes, and what one of each counts.
const (
	Reclaimed  Misfortune = "reclaimed"  // an idle instance taken away
	Killed     Misfortune = "killed"     // one taken away in session
	Duplicated Misfortune = "duplicated" // a fresh instance started though the node had one
	Throttled  Misfortune = "throttled"  // an invocation refused
	Unanswered Misfortune = "unanswered" // an invocation that ended for the caller while its session went on
	Stopped    Misfortune = "stopped"    // an instance in session stopped, as by SIGSTOP, for a while
	Outlived   Misfortune = "outlived"   // a stopped instance that went on, with bytes of then, when its session was over for the caller
	SlowStart  Misfortune = "slow start" // a fresh instance that took longer
	Taken      Misfortune = "taken"      // one of several instances of a node taken away
	Noticed    Misfortune = "noticed"    // an instance told of its end, and taken then
	Outmoded   Misfortune = "outmoded"   // one that gets no session any more, because another stands ready
	Lied       Misfortune = "lied"       // a block that is another, with a checksum that fits
)

// Misfortunes are all of them.
func Misfortunes() []Misfortune {
	return []Misfortune{Reclaimed, Killed, Duplicated, Throttled, Unanswered, Stopped, Outlived, SlowStart, Taken, Noticed, Outmoded, Lied}
}

// script is what a Platform has yet to do to its functions, and what it did.
// The platform's mutex guards it.
type script struct {
	throttle int           // invocations still to refuse
	lag      time.Duration // of fresh instances
	hidden   map[int]int   // by node: how many instances are
	lying    map[int]int   // by node: for how many reasons it does
	happened map[Misfortune]int
}

func (p *Platform) count(m Misfortune) {
	p.mu.Lock()
	p.happened[m]++
	p.mu.Unlock()
}

// Happened is how often each misfortune took effect.
func (p *Platform) Happened() map[Misfortune]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[Misfortune]int{}
	for m, n := range p.happened {
		all[m] = n
	}
	return all
}

// Reclaim takes all instances of a node away and says how many. Those that are
// hidden stay.
func (p *Platform) Reclaim(number int) int {
	p.mu.Lock()
	taken := p.instances[number]
	p.instances[number] = nil
	for _, i := range taken {
		i.gone = true
		if i.busy {
			p.happened[Killed]++
			i.cancel(errGone)
		} else {
			p.happened[Reclaimed]++
		}
	}
	p.mu.Unlock()
	for _, i := range taken {
		p.net.Drop(i.Host)
		p.net.Thaw(i.Host)
		i.shut()
	}
	return len(taken)
}

// Take takes one instance of a node away, the n-th of those that Instances lists,
// and reports whether there was one.
func (p *Platform) Take(number, n int) bool {
	p.mu.Lock()
	all := p.instances[number]
	if n >= len(all) {
		p.mu.Unlock()
		return false
	}
	i := all[n]
	if len(all) > 1 {
		p.happened[Taken]++
	}
	p.instances[number] = append(append([]*Instance(nil), all[:n]...), all[n+1:]...)
	i.gone = true
	if i.cancel != nil {
		i.cancel(errGone)
	}
	p.mu.Unlock()
	p.net.Drop(i.Host)
	p.net.Thaw(i.Host)
	i.shut()
	return true
}

// Swap makes another instance of a node the one that is woken next.
func (p *Platform) Swap(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if all := p.instances[number]; len(all) > 1 {
		p.instances[number] = append(append([]*Instance(nil), all[1:]...), all[0])
	}
}

// Hide makes the next session of a node start a fresh instance, as if the
// platform had forgotten those it has. Show undoes it.
func (p *Platform) Hide(number int) (show func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	hidden := p.instances[number]
	p.instances[number] = nil
	p.hidden[number] += len(hidden)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.hidden[number] -= len(hidden)
		p.instances[number] = append(hidden, p.instances[number]...)
	}
}

// Throttle refuses the next n invocations.
func (p *Platform) Throttle(n int) {
	p.mu.Lock()
	p.throttle = n
	p.mu.Unlock()
}

// Break ends the invocations of a node for their caller, who hears that the
// connection to the platform broke; the sessions go on, and their instances stay
// busy.
func (p *Platform) Break(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.instances[number] {
		if i.busy && !i.unanswered {
			i.unanswered = true
			p.happened[Unanswered]++
			close(i.broken)
		}
	}
}

// Slow makes fresh instances take longer by d.
func (p *Platform) Slow(d time.Duration) {
	p.mu.Lock()
	p.lag = d
	p.mu.Unlock()
}

// Stop stops the node's instances that are in session, as SIGSTOP does: they
// neither send nor receive, while their system accepts bytes for them. Go on lets
// them go on, with what came meanwhile. Timers of theirs run on.
func (p *Platform) Stop(number int) (goOn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stopped []*Instance
	for _, i := range p.instances[number] {
		if i.busy {
			p.net.Freeze(i.Host)
			p.happened[Stopped]++
			stopped = append(stopped, i)
		}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, i := range stopped {
			if !i.busy || i.gone {
				continue // the platform's freeze is not undone
			}
			if i.unanswered {
				p.happened[Outlived]++
			}
			p.net.Thaw(i.Host)
		}
	}
}
