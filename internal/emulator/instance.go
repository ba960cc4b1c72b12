package emulator

import (
	"cmp"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// State is what an instance is doing.
type State string

const (
	Starting State = "starting" // its process has not yet asked for an event
	Running  State = "running"  // in session, or in the gap after one
	Idle     State = "idle"     // free, and not frozen because of NoFreeze
	Stopped  State = "frozen"   // free and frozen
	Crashed  State = "crashed"  // free, without a process; the next session starts one
)

// instance is one execution environment of a function: a private directory that
// lasts, and a process, which a crash or a timeout may take. Emulator.mu guards
// its fields; cuts belongs to the session that has the instance.
type instance struct {
	id  string
	fn  *function
	dir string

	state    State
	gone     bool // taken away; no longer in its function
	process  *process
	born     time.Time
	life     time.Duration // zero means for ever
	lastUsed time.Time
	sessions int
	billed   time.Duration

	cuts *rand.Rand
}

func (e *Emulator) newInstance(fn *function, now time.Time) *instance {
	fn.born++
	id := newID()
	return &instance{
		id:       id,
		fn:       fn,
		dir:      e.dir + "/" + id,
		state:    Starting,
		born:     now,
		life:     life(e.cfg, fn.node, fn.born),
		lastUsed: now,
		cuts:     rand.New(rand.NewPCG(^e.cfg.Seed, instanceStream(fn.node, fn.born))),
	}
}

// idle tells whether an invocation may have the instance.
func (i *instance) idle() bool {
	return i.state == Idle || i.state == Stopped || i.state == Crashed
}

// release ends what acquire began: the instance is free for the next session,
// unless it was reclaimed meanwhile.
func (e *Emulator) release(inst *instance, state State, billed time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	inst.state = state
	if state == Crashed {
		inst.process = nil
	}
	inst.lastUsed = time.Now()
	inst.sessions++
	inst.billed += billed
}

// mark tells what a session that has the instance is doing with it.
func (e *Emulator) mark(inst *instance, state State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	inst.state = state
}

// discard removes what an instance that was taken leaves behind.
func (e *Emulator) discard(inst *instance) {
	if err := os.RemoveAll(inst.dir); err != nil {
		e.log.Warn("instance directory not removed", "node", inst.fn.node, "instance", inst.id, "error", err)
	}
}

// InstanceInfo is one instance as an operator sees it.
type InstanceInfo struct {
	Node     int
	ID       string
	State    State
	PID      int // 0 without a process
	Age      time.Duration
	Idle     time.Duration // since its last session ended; 0 in session
	RSS      int64         // resident bytes; 0 where not known
	Sessions int
	Billed   time.Duration
}

// Instances lists all instances by node and age, oldest first.
func (e *Emulator) Instances() []InstanceInfo {
	now := time.Now()
	var all []InstanceInfo
	e.mu.Lock()
	for _, fn := range e.functions {
		for _, inst := range fn.instances {
			info := InstanceInfo{
				Node:     fn.node,
				ID:       inst.id,
				State:    inst.state,
				Age:      now.Sub(inst.born),
				Sessions: inst.sessions,
				Billed:   inst.billed,
			}
			if p := inst.process; p != nil && p.gone() {
				info.State = Crashed // as the next session will find it
			} else if p != nil {
				info.PID = p.pid
			}
			if inst.idle() {
				info.Idle = now.Sub(inst.lastUsed)
			}
			all = append(all, info)
		}
	}
	e.mu.Unlock()
	for i := range all {
		if all[i].PID != 0 {
			all[i].RSS = residentMemory(all[i].PID)
		}
	}
	slices.SortStableFunc(all, func(a, b InstanceInfo) int { return cmp.Compare(a.Node, b.Node) })
	return all
}
