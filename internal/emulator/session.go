package emulator

import (
	"crypto/rand"
	"fmt"
	"time"
)

// session is one event on its way through an instance.
type session struct {
	id            string
	payload       []byte // JSON
	clientContext string // JSON; may be empty
	tenant        string // may be empty
	deadline      time.Time
	answer        chan answer // at most one

	answered bool // guarded by runtimeAPI.mu
}

// result is a session that was run, as its caller is told.
type result struct {
	id      string
	payload []byte
	failed  bool // a function error, of which payload tells
	tail    []byte
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// invoke runs one session, or says why the platform refuses to. It returns when
// the caller may know; see Config.Gap. The caller holds a task.
func (e *Emulator) invoke(in invocation) (result, *fault) {
	inst, refused := e.acquire(in.fn, in.tenant)
	if refused != nil {
		return result{}, refused
	}
	s := &session{
		id:            newID(),
		payload:       in.payload,
		clientContext: in.clientContext,
		tenant:        in.tenant,
		answer:        make(chan answer, 1),
	}
	w := newWatch(inst.def.memory)
	defer w.stop()
	r := report{id: s.id, memory: inst.def.memory}
	p, ans, fail := e.play(inst, s, w, &r)

	res := result{id: s.id, payload: ans.body, failed: ans.failed}
	switch {
	case fail != nil:
		res.payload, res.failed = fail.payload(s.id), true
		r.status, r.errorType = fail.status, fail.reported
	case ans.failed:
		r.status, r.errorType = "error", ans.errorType
	}
	if p != nil {
		w.sample(p)
		r.peak = p.peak
		res.tail = p.logs.tail()
	}
	res.tail = r.tail(res.tail)
	e.log.Debug("session", "node", inst.fn.node, "instance", inst.id, "request", s.id,
		"duration", r.duration, "init", r.init, "billed", r.billed(), "failure", r.errorType)

	if fail != nil && fail.over {
		e.release(inst, Crashed, r.billed())
		return res, nil
	}
	if e.cfg.Gap == 0 {
		e.rest(inst, p, s, w, r.billed())
		return res, nil
	}
	e.tasks.Add(1) // beside the caller's own, so never from zero
	go func() {
		defer e.tasks.Done()
		w := newWatch(inst.def.memory)
		defer w.stop()
		e.rest(inst, p, s, w, r.billed())
	}()
	return res, nil
}

// play starts the instance's process if it has none, gives it the event, and
// waits for its answer. It fills r's times.
func (e *Emulator) play(inst *instance, s *session, w *watch, r *report) (p *process, ans answer, fail *failure) {
	p = inst.process // only the session that has the instance sets it
	if p != nil && p.gone() {
		p = nil // it ended while it was idle
	}
	if p == nil && inst.sessions == 0 {
		// The start of a fresh instance has a limit of its own. If it fails it
		// is done again, within the session.
		began := time.Now()
		p, fail = e.boot(inst, w, time.NewTimer(e.cfg.InitTimeout))
		if fail == nil {
			r.init = time.Since(began)
		}
	} else if p != nil {
		p.thaw()
	}

	began := time.Now()
	defer func() { r.duration = time.Since(began) }()
	s.deadline = began.Add(inst.def.timeout)
	limit := time.NewTimer(inst.def.timeout)
	defer limit.Stop()
	if p == nil || fail != nil {
		if p, fail = e.boot(inst, w, limit); fail != nil {
			return p, answer{}, fail.within(inst.def.timeout)
		}
	}
	e.mark(inst, Running)
	p.logs.begin()
	p.runtime.deliver(s)
	ans, fail = await(p, s.answer, limit.C, w)
	if fail != nil {
		return p, answer{}, fail.within(inst.def.timeout)
	}
	if ans.tooLarge {
		return p, ans, responseTooLarge()
	}
	return p, ans, nil
}

// boot starts a process for inst and waits until it asks for an event. After a
// failure the process is gone.
func (e *Emulator) boot(inst *instance, w *watch, limit *time.Timer) (*process, *failure) {
	defer limit.Stop()
	p, err := e.startProcess(inst)
	if err != nil {
		e.log.Warn("instance did not start", "node", inst.fn.node, "error", err)
		return nil, startFailed(err)
	}
	if _, fail := await(p, p.runtime.parked, limit.C, w); fail != nil {
		return p, fail
	}
	if posted := p.runtime.startError(); posted != nil {
		p.kill()
		<-p.exited
		return p, initFailed(*posted)
	}
	return p, nil
}

// rest sees the instance from its answer to its rest: the runtime asks for the
// next event, the gap passes, the process freezes. Then it is free.
func (e *Emulator) rest(inst *instance, p *process, s *session, w *watch, billed time.Duration) {
	limit := time.NewTimer(time.Until(s.deadline))
	defer limit.Stop()
	if _, fail := await(p, p.runtime.parked, limit.C, w); fail != nil {
		e.release(inst, Crashed, billed)
		return
	}
	if e.cfg.Gap > 0 {
		gap := time.NewTimer(e.cfg.Gap)
		defer gap.Stop()
		if _, fail := await(p, gap.C, nil, w); fail != nil {
			e.release(inst, Crashed, billed)
			return
		}
	}
	if e.cfg.NoFreeze {
		e.release(inst, Idle, billed)
		return
	}
	if !p.freeze() {
		e.release(inst, Crashed, billed)
		return
	}
	if e.cfg.CutLinks > 0 && inst.cuts.Float64() < e.cfg.CutLinks {
		e.log.Debug("links cut", "node", inst.fn.node, "instance", inst.id)
		e.cfg.Cut(Frozen{Node: inst.fn.node, Instance: inst.id, PID: p.pid, Links: links(p.pid)})
	}
	e.release(inst, Stopped, billed)
}

// await waits for an event of p while it watches p: its end, a time limit and
// its memory. An event that came before the end counts. After a failure the
// process is gone.
func await[T any](p *process, event <-chan T, limit <-chan time.Time, w *watch) (v T, fail *failure) {
	for {
		select {
		case v = <-event:
			return v, nil
		case <-p.exited:
			select {
			case v = <-event:
				return v, nil
			default:
				return v, exitFailure(p.status)
			}
		case <-limit:
			p.kill()
			<-p.exited
			return v, timedOut()
		case <-w.tick.C:
			if w.sample(p) > w.limit {
				p.kill()
				<-p.exited
				return v, outOfMemory()
			}
		}
	}
}
