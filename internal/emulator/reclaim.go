package emulator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Reclaim takes all instances of the nodes away, those in session too, and
// returns for each of the nodes how many there were, when their processes are
// gone. Instances that asked for it have Config.Notice before, unless kill. The
// error is ErrNoNode or ErrStopped, and then none was taken.
func (e *Emulator) Reclaim(nodes []int, kill bool) ([]int, error) {
	if !e.begin() {
		return nil, fmt.Errorf("reclaim: %w", ErrStopped)
	}
	defer e.tasks.Done()
	e.mu.Lock()
	deployed := make(map[int]bool, len(e.functions))
	for _, fn := range e.functions {
		deployed[fn.node] = true
	}
	wanted := make(map[int]bool, len(nodes))
	for _, node := range nodes {
		if node < 0 || !deployed[node] {
			e.mu.Unlock()
			return nil, fmt.Errorf("reclaim node %d: %w", node, ErrNoNode)
		}
		wanted[node] = true
	}
	taken := e.pick(func(inst *instance) bool { return wanted[inst.fn.node] })
	e.mu.Unlock()

	e.end(taken, "command", kill)
	byNode := map[int]int{}
	for _, t := range taken {
		byNode[t.fn.node]++
	}
	counts := make([]int, len(nodes))
	for i, node := range nodes {
		counts[i] = byNode[node]
	}
	return counts, nil
}

// ReclaimShare is a mass event: it takes each idle instance of every node with
// the probability share, and returns how many it took when they are gone. The
// error is ErrStopped.
func (e *Emulator) ReclaimShare(share float64) (int, error) {
	if !e.begin() {
		return 0, fmt.Errorf("reclaim: %w", ErrStopped)
	}
	defer e.tasks.Done()
	taken := e.pickShare(share)
	e.end(taken, "mass", false)
	return len(taken), nil
}

func (e *Emulator) pickShare(share float64) []taken {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pick(func(inst *instance) bool {
		return inst.idle() && inst.fn.draw.Float64() < share
	})
}

// taken is an instance that no function has any more, with the process that it
// had then.
type taken struct {
	*instance
	process *process // may be nil
}

// pick takes the chosen instances out of their functions; the caller, who holds
// e.mu, hands them to end.
func (e *Emulator) pick(chosen func(*instance) bool) []taken {
	var all []taken
	for _, fn := range e.functions {
		all = append(all, fn.pick(chosen)...)
	}
	return all
}

func (fn *function) pick(chosen func(*instance) bool) []taken {
	var all []taken
	fn.instances = slices.DeleteFunc(fn.instances, func(inst *instance) bool {
		if !chosen(inst) {
			return false
		}
		inst.gone = true
		all = append(all, taken{inst, inst.process})
		return true
	})
	return all
}

// retire ends what pick took, in the background. The caller holds e.mu. When the
// platform is ending it has nothing to do: every process is killed.
func (e *Emulator) retire(all []taken) {
	if len(all) == 0 || !e.running {
		return
	}
	e.tasks.Add(1)
	go func() {
		defer e.tasks.Done()
		e.end(all, "outdated", false)
	}()
}

// end ends what pick took, all at once, and returns when it is gone.
func (e *Emulator) end(all []taken, cause string, kill bool) {
	notice := e.cfg.Notice
	if kill {
		notice = 0
	}
	var ending sync.WaitGroup
	for _, t := range all {
		e.log.Debug("instance reclaimed", "node", t.fn.node, "instance", t.id, "cause", cause, "kill", kill)
		ending.Go(func() {
			if t.process != nil {
				t.process.terminate(notice)
			}
			e.discard(t.instance)
		})
	}
	ending.Wait()
}

// sweep applies the rules until ctx ends.
func (e *Emulator) sweep(ctx context.Context) {
	rules := e.cfg.Reclaim
	var mass, age <-chan time.Time
	if rules.MassEvery > 0 && rules.MassShare > 0 {
		t := time.NewTicker(rules.MassEvery)
		defer t.Stop()
		mass = t.C
	}
	if every := rules.interval(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		age = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-mass:
			e.sweepOnce("mass", func() []taken { return e.pickShare(rules.MassShare) })
		case <-age:
			e.sweepOnce("age", e.pickOld)
		}
	}
}

// interval is how often ages are looked at: a tenth of the shortest, at least
// every second and at most every 20 ms; 0 without such a rule.
func (r Rules) interval() time.Duration {
	var shortest time.Duration
	for _, d := range []time.Duration{r.IdleAge, r.TotalAge, r.MeanLife} {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	if shortest == 0 {
		return 0
	}
	return min(max(shortest/10, 20*time.Millisecond), time.Second)
}

// sweepOnce takes what pick chooses and does not wait for its end, so that a long
// notice delays no rule.
func (e *Emulator) sweepOnce(cause string, pick func() []taken) {
	if !e.begin() {
		return
	}
	all := pick()
	go func() {
		defer e.tasks.Done()
		e.end(all, cause, false)
	}()
}

// pickOld takes the idle instances that are past an age.
func (e *Emulator) pickOld() []taken {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pick(func(inst *instance) bool {
		if !inst.idle() {
			return false
		}
		idleAge := e.cfg.Reclaim.IdleAge
		return idleAge > 0 && now.Sub(inst.lastUsed) >= idleAge ||
			inst.life > 0 && now.Sub(inst.born) >= inst.life
	})
}
