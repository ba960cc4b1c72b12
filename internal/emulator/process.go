package emulator

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// process is one run of the function binary, leader of its own process group.
type process struct {
	pid     int
	runtime *runtimeAPI
	logs    *logs

	stopped chan struct{} // a token per stop that took effect
	ending  chan struct{} // closed when it is told of its end: from then on it is not frozen
	exited  chan struct{} // closed when the process is gone and reaped
	status  syscall.WaitStatus
	peak    int64 // largest resident memory seen, in bytes; the session's own

	mu     sync.Mutex // orders signals with the two below
	reaped bool
	told   bool // ending is closed
}

// startProcess starts the binary for inst with a Runtime API of its own.
func (e *Emulator) startProcess(inst *instance) (*process, error) {
	code := inst.def.code
	if err := code.runnable(inst.def.architecture); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(inst.dir, 0o700); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		listener.Close()
		return nil, err
	}
	defer write.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		listener.Close()
		read.Close()
		return nil, err
	}
	defer null.Close()

	pid, err := e.spawner.spawn(code.binary, &syscall.ProcAttr{
		Dir:   code.root(inst),
		Env:   e.environment(inst, listener.Addr().String()),
		Files: []uintptr{null.Fd(), write.Fd(), write.Fd()},
		Sys:   instanceAttr(e.parentDeath),
	})
	if err != nil {
		listener.Close()
		read.Close()
		return nil, fmt.Errorf("fork/exec %s: %w", code.called(), err)
	}
	limitDescriptors(pid)
	p := &process{
		pid:     pid,
		stopped: make(chan struct{}, 1),
		ending:  make(chan struct{}),
		exited:  make(chan struct{}),
		runtime: newRuntimeAPI(inst.fn.name, inst.def.handler, listener, e.log),
		logs:    newLogs(e.log.With("node", inst.fn.node, "instance", inst.id)),
	}
	e.watchdog.add(pid)

	e.mu.Lock()
	inst.process = p
	e.processes[p] = struct{}{}
	wanted := e.running && !inst.gone
	e.reaper.Add(1)
	e.mu.Unlock()
	if !wanted {
		p.kill() // whoever ended it looked for its process before there was one
	}
	go func() {
		defer e.reaper.Done()
		e.attend(p, read)
	}()
	return p, nil
}

// attend does what lasts as long as the process: reads its output, serves its
// Runtime API, and reaps it.
func (e *Emulator) attend(p *process, output *os.File) {
	var side sync.WaitGroup
	side.Go(func() { p.logs.read(output) })
	side.Go(p.runtime.serve)
	p.reap()
	e.watchdog.remove(p.pid)
	p.runtime.close()
	e.mu.Lock()
	delete(e.processes, p)
	e.mu.Unlock()
	// The group is dead, so the pipe ends by itself unless a child of the
	// function left the group: then its output is nobody's.
	output.SetReadDeadline(time.Now().Add(time.Second))
	side.Wait()
	output.Close()
	close(p.exited)
}

// reap waits until the process is gone, passing on each stop. A blocking wait
// costs a thread and no time, and reports a stop only when all threads of the
// process have come to rest.
func (p *process) reap() {
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(p.pid, &ws, syscall.WUNTRACED, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err == nil && ws.Stopped():
			select {
			case p.stopped <- struct{}{}:
			default:
			}
		default:
			p.mu.Lock()
			p.reaped = true
			p.mu.Unlock()
			// Children of the function die with it. The group's number cannot
			// have been given to others within this instant.
			syscall.Kill(-p.pid, syscall.SIGKILL)
			p.status = ws
			return
		}
	}
}

// signal sends to the process group, unless the process was reaped and its
// number may belong to another.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		syscall.Kill(-p.pid, sig)
	}
}

// kill ends the process without notice, frozen or not. It does not wait.
func (p *process) kill() { p.signal(syscall.SIGKILL) }

// gone tells whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// freeze stops the process and returns true when it has come to rest, or false
// when it is gone or ends instead.
func (p *process) freeze() bool {
	select {
	case <-p.stopped:
	default:
	}
	p.stop()
	select {
	case <-p.stopped:
		return true
	case <-p.ending:
		return false
	case <-p.exited:
		return false
	}
}

// stop freezes the process unless it was told of its end: its notice is to act
// in.
func (p *process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped && !p.told {
		syscall.Kill(-p.pid, syscall.SIGSTOP)
	}
}

// thaw lets the process run again.
func (p *process) thaw() { p.signal(syscall.SIGCONT) }

// tell thaws the process, because a stopped one would see SIGTERM too late, and
// sends it SIGTERM. From then on it is not frozen any more.
func (p *process) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped || p.told {
		return
	}
	p.told = true
	close(p.ending)
	syscall.Kill(-p.pid, syscall.SIGCONT)
	syscall.Kill(-p.pid, syscall.SIGTERM)
}

// terminate ends the process as the platform does when it takes an instance:
// with notice if there is any and an extension is registered, at once if not. It
// returns when the process is gone.
func (p *process) terminate(notice time.Duration) {
	if notice > 0 && p.runtime.hasExtension() {
		p.tell()
		timer := time.NewTimer(notice)
		defer timer.Stop()
		select {
		case <-p.exited:
			return
		case <-timer.C:
		}
	}
	p.kill()
	<-p.exited
}

// environment is what the real service gives a custom runtime, with TMPDIR in
// place of a /tmp of the instance's own.
func (e *Emulator) environment(inst *instance, runtimeAPI string) []string {
	def := inst.def
	vars := map[string]string{
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME":        inst.fn.name,
		"AWS_LAMBDA_FUNCTION_VERSION":     version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.FormatInt(def.memory>>20, 10),
		"AWS_LAMBDA_LOG_GROUP_NAME":       def.logging.LogGroup,
		"AWS_LAMBDA_LOG_STREAM_NAME":      inst.born.UTC().Format("2006/01/02/") + "[" + version + "]" + inst.id,
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_REGION":                      region,
		"AWS_DEFAULT_REGION":              region,
		"AWS_ACCESS_KEY_ID":               "local",
		"AWS_SECRET_ACCESS_KEY":           "local",
		"AWS_SESSION_TOKEN":               "local",
		"_HANDLER":                        def.handler,
		"LAMBDA_TASK_ROOT":                def.code.root(inst),
		"LAMBDA_RUNTIME_DIR":              def.code.root(inst),
		"TZ":                              ":UTC",
		"LANG":                            "en_US.UTF-8",
		"PATH":                            "/usr/local/bin:/usr/bin:/bin",
		"TMPDIR":                          inst.dir,
		// Go's heap alone must not reach the limit at which the instance dies.
		"GOMEMLIMIT": strconv.FormatInt(def.memory/10*9, 10),
	}
	if def.logging.LogFormat == logJSON {
		vars["AWS_LAMBDA_LOG_FORMAT"] = logJSON
		vars["AWS_LAMBDA_LOG_LEVEL"] = def.logging.ApplicationLogLevel
	}
	maps.Copy(vars, def.env)
	env := make([]string, 0, len(vars))
	for k, v := range vars {
		env = append(env, k+"="+v)
	}
	sort.Strings(env)
	return env
}
