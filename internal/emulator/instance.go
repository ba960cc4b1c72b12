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
	id     string
	fn     *function
	def    *definition // what it was started by, and runs by for life
	tenant string      // whose it is; empty without tenant isolation
	dir    string

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

func (e *Emulator) newInstance(fn *function, tenant string, now time.Time) *instance {
	fn.born++
	id := newID()
	return &instance{
		id:       id,
		fn:       fn,
		def:      fn.def,
		tenant:   tenant,
		dir:      e.dir + "/" + id,
		state:    Starting,
		born:     now,
		life:     life(e.cfg, fn.stream, fn.born),
		lastUsed: now,
		cuts:     rand.New(rand.NewPCG(^e.cfg.Seed, instanceStream(fn.stream, fn.born))),
	}
}

// idle tells whether an invocation may have the instance.
func (i *instance) idle() bool {
	return i.state == Idle || i.state == Stopped || i.state == Crashed
}

// release ends what acquire began: the instance is free for the next session,
// unless it was reclaimed, or its function updated or deleted, meanwhile.
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
	fn := inst.fn
	e.settle(fn, inst.lastUsed)
	if inst.def != fn.def || fn.removed {
		e.retire(fn.pick(func(i *instance) bool { return i == inst }))
	}
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
	Node     int // -1 if the function's name is not a node's
	Function string
	Tenant   string // empty without tenant isolation
	ID       string
	State    State
	PID      int // 0 without a process
	Age      time.Duration
	Idle     time.Duration // since its last session ended; 0 in session
	RSS      int64         // resident bytes; 0 where not known
	Sessions int
	Billed   time.Duration
}

// Instances lists all instances by node, function and age, oldest first.
func (e *Emulator) Instances() []InstanceInfo {
	now := time.Now()
	var all []InstanceInfo
	e.mu.Lock()
	for _, fn := range e.functions {
		e.settle(fn, now)
		for _, inst := range fn.instances {
			info := InstanceInfo{
				Node:     fn.node,
				Function: fn.name,
				Tenant:   inst.tenant,
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
	slices.SortStableFunc(all, func(a, b InstanceInfo) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Function, b.Function))
	})
	return all
}
