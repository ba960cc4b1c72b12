package emulator

import "fmt"

// Resize makes the platform have functions for nodes 0 to n-1: it deploys those
// that are missing, or removes the ones with the highest numbers. The instances
// of a removed function are taken as by Reclaim, those in session too, and
// Resize returns when they are gone. Invocations of a removed function are
// refused as of one that never was. The error is ErrSize or ErrStopped, and
// then nothing has changed.
func (e *Emulator) Resize(n int) error {
	if n < 1 || n > MaxNodes {
		return fmt.Errorf("%w: %d given, 1 to %d allowed", ErrSize, n, MaxNodes)
	}
	if !e.begin() {
		return fmt.Errorf("resize: %w", ErrStopped)
	}
	defer e.tasks.Done()
	e.mu.Lock()
	before := len(e.functions)
	e.deploy(n)
	left := e.undeploy(n)
	e.mu.Unlock()
	e.log.Debug("resized", "nodes", n, "before", before)
	e.end(left, "undeployed", false)
	return nil
}

// Nodes is how many functions are deployed.
func (e *Emulator) Nodes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.functions)
}

// deploy adds functions until there are n. The caller holds e.mu.
func (e *Emulator) deploy(n int) {
	for node := len(e.functions); node < n; node++ {
		fn := newFunction(e.cfg, node)
		e.functions = append(e.functions, fn)
		e.byName[fn.name] = fn
	}
}

// undeploy removes the functions from node n on and returns their instances. The
// caller holds e.mu and hands them to end.
func (e *Emulator) undeploy(n int) []taken {
	var left []taken
	for _, fn := range e.functions[n:] {
		fn.removed = true
		delete(e.byName, fn.name)
		left = append(left, fn.pick(func(*instance) bool { return true })...)
	}
	clear(e.functions[n:])
	e.functions = e.functions[:n]
	return left
}

// lookup finds a deployed function; nil if there is none.
func (e *Emulator) lookup(name string) *function {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byName[name]
}
