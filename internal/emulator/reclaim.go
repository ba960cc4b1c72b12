package emulator

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Reclaim takes all instances of a node away, those in session too, and returns
// how many there were when their processes are gone. The error is ErrNoNode or
// ErrStopped.
func (e *Emulator) Reclaim(node int) (int, error) {
	if node < 0 || node >= len(e.functions) {
		return 0, fmt.Errorf("reclaim node %d: %w", node, ErrNoNode)
	}
	if !e.begin() {
		return 0, fmt.Errorf("reclaim node %d: %w", node, ErrStopped)
	}
	defer e.tasks.Done()
	fn := e.functions[node]
	return e.take("command", func(inst *instance) bool { return inst.fn == fn }), nil
}

// ReclaimShare is a mass event: it takes each idle instance of every node with
// the probability share, and returns how many it took. The error is ErrStopped.
func (e *Emulator) ReclaimShare(share float64) (int, error) {
	if !e.begin() {
		return 0, fmt.Errorf("reclaim: %w", ErrStopped)
	}
	defer e.tasks.Done()
	return e.take("mass", func(inst *instance) bool {
		return inst.idle() && inst.fn.draw.Float64() < share
	}), nil
}

// take ends the instances that chosen picks and returns when they are gone. It
// calls chosen with e.mu held.
func (e *Emulator) take(cause string, chosen func(*instance) bool) int {
	var taken []*instance
	var processes []*process
	e.mu.Lock()
	for _, fn := range e.functions {
		kept := fn.instances[:0]
		for _, inst := range fn.instances {
			if !chosen(inst) {
				kept = append(kept, inst)
				continue
			}
			inst.gone = true
			taken = append(taken, inst)
			processes = append(processes, inst.process)
		}
		clear(fn.instances[len(kept):])
		fn.instances = kept
	}
	e.mu.Unlock()

	var all sync.WaitGroup
	for i, inst := range taken {
		e.log.Debug("instance reclaimed", "node", inst.fn.node, "instance", inst.id, "cause", cause)
		all.Go(func() {
			if p := processes[i]; p != nil {
				p.terminate()
			}
			e.discard(inst)
		})
	}
	all.Wait()
	return len(taken)
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
			_, _ = e.ReclaimShare(rules.MassShare)
		case <-age:
			e.sweepOld()
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

// sweepOld takes the idle instances that are past an age.
func (e *Emulator) sweepOld() {
	if !e.begin() {
		return
	}
	defer e.tasks.Done()
	now := time.Now()
	e.take("age", func(inst *instance) bool {
		if !inst.idle() {
			return false
		}
		idleAge := e.cfg.Reclaim.IdleAge
		return idleAge > 0 && now.Sub(inst.lastUsed) >= idleAge ||
			inst.life > 0 && now.Sub(inst.born) >= inst.life
	})
}
