package emulator

import (
	"maps"
	"time"
)

// definition is what a function is: its code and how that is run. It does not
// change; an update makes another one. Instances run by the one that they were
// started by.
type definition struct {
	code         *code
	memory       int64 // bytes
	timeout      time.Duration
	env          map[string]string
	architecture string
	runtime      string
	handler      string
	role         string
	description  string
	ephemeral    int // MB of /tmp; not enforced
	logging      loggingConfig
	vpc          vpcConfig
	modified     time.Time
}

// deployment is a function as the management API sees it. Emulator.mu guards it.
type deployment struct {
	def       *definition // what new instances run by
	coming    *definition // what an update in progress leads to; else nil
	pending   bool        // being created
	settles   time.Time   // when creation or update is done; zero if it is
	revision  string
	perTenant bool
	reserved  *int // concurrency; nil means none is reserved
	tags      map[string]string
}

// latest is what the function is, or is about to be.
func (d *deployment) latest() *definition {
	if d.coming != nil {
		return d.coming
	}
	return d.def
}

// settle ends a creation or update that is due, and retires the instances that
// are idle and outdated then. The caller holds e.mu.
func (e *Emulator) settle(fn *function, now time.Time) {
	if fn.settles.IsZero() || now.Before(fn.settles) {
		return
	}
	fn.settles, fn.pending, fn.revision = time.Time{}, false, newID()
	if fn.coming == nil {
		return
	}
	fn.def, fn.coming = fn.coming, nil
	e.retire(fn.pick(func(inst *instance) bool { return inst.idle() }))
}

// update makes def what the function is, after a while. The caller holds e.mu.
func (e *Emulator) update(fn *function, def *definition) {
	def.modified = time.Now()
	fn.coming, fn.revision = def, newID()
	fn.settles = def.modified.Add(e.cfg.Control.UpdateTime)
}

// changeable refuses to change a function while something else does.
func (fn *function) changeable() *fault {
	switch {
	case fn.pending:
		return pendingFunction()
	case fn.coming != nil:
		return updateInProgress(fn.name)
	}
	return nil
}

// builtin is the deployment of a function that Config describes.
func (e *Emulator) builtin(name string) deployment {
	d := deployment{
		def: &definition{
			code: e.binary, memory: e.cfg.Memory, timeout: e.cfg.Timeout, env: maps.Clone(e.cfg.Env),
			architecture: hostArchitecture(), runtime: "provided.al2023", handler: "bootstrap",
			role:      "arn:aws:iam::" + account + ":role/infinicache",
			ephemeral: minEphemeral, logging: loggingConfig{}.withDefaults(name), modified: e.made,
		},
		revision: newID(),
	}
	if e.cfg.Concurrency > 0 {
		n := e.cfg.Concurrency
		d.reserved = &n
	}
	return d
}
