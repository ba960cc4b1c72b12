package emulator

import (
	"fmt"
	"slices"
	"strconv"
)

// Resize makes the platform have functions for nodes 0 to n-1: it deploys those
// that are missing, of Config.Binary, or removes those of higher numbers, whoever
// deployed them. The instances of a removed function are taken as by Reclaim,
// those in session too, and Resize returns when they are gone. Invocations of a
// removed function are refused as of one that never was. The error is ErrSize or
// ErrStopped, and then nothing has changed.
func (e *Emulator) Resize(n int) error {
	if n < 1 || n > MaxNodes {
		return fmt.Errorf("%w: %d given, 1 to %d allowed", ErrSize, n, MaxNodes)
	}
	if e.cfg.Binary == "" {
		return fmt.Errorf("%w: no Binary to deploy", ErrSize)
	}
	if !e.begin() {
		return fmt.Errorf("resize: %w", ErrStopped)
	}
	defer e.tasks.Done()
	e.mu.Lock()
	before := e.nodes()
	e.deploy(n)
	left := e.undeploy(n)
	e.mu.Unlock()
	e.log.Debug("resized", "nodes", n, "before", before)
	e.end(left, "undeployed", false)
	return nil
}

// Nodes is one more than the highest number of a node that has a function, and 0
// if none has.
func (e *Emulator) Nodes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nodes()
}

func (e *Emulator) nodes() int {
	n := 0
	for _, fn := range e.functions {
		n = max(n, fn.node+1)
	}
	return n
}

// deploy adds the functions that nodes 0 to n-1 lack. The caller holds e.mu.
func (e *Emulator) deploy(n int) {
	for node := range n {
		if name := e.cfg.Prefix + strconv.Itoa(node); e.byName[name] == nil {
			e.add(newFunction(e.cfg, name, e.builtin(name)))
		}
	}
}

// add makes fn deployed. The caller holds e.mu.
func (e *Emulator) add(fn *function) {
	e.functions = append(e.functions, fn)
	e.byName[fn.name] = fn
}

// remove makes fn no longer deployed. The caller holds e.mu and takes its
// instances.
func (e *Emulator) remove(fn *function) {
	fn.removed = true
	delete(e.byName, fn.name)
	e.functions = slices.DeleteFunc(e.functions, func(other *function) bool { return other == fn })
}

// undeploy removes the functions from node n on and returns all their instances.
// The caller holds e.mu and hands them to end.
func (e *Emulator) undeploy(n int) []taken {
	var left []taken
	for _, fn := range slices.Clone(e.functions) {
		if fn.node >= n {
			e.remove(fn)
			left = append(left, fn.pick(func(*instance) bool { return true })...)
		}
	}
	return left
}

// lookup finds a deployed function; nil if there is none.
func (e *Emulator) lookup(name string) *function {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byName[name]
}
