package simnet

import "time"

// Freeze stops a host as SIGSTOP stops a process: every call that it makes on
// its listeners and connections, and every dial, waits until Thaw. Its system
// lives on: dials to it connect and bytes to it are accepted until the buffers
// fill, and what it sent before still arrives. Nothing that it sends later
// does, not even a close. Goroutines of the host that make no such call run on.
func (n *Net) Freeze(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen[host] = true
	n.refresh()
}

// Thaw undoes Freeze: the calls go on, deadlines that passed meanwhile have
// passed, and what arrived meanwhile is read. A freeze by a rule stays.
func (n *Net) Thaw(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.frozen, host)
	n.refresh()
}

// Drop resets every connection of a host and returns how many there were. The
// host's own ends fail at once; a frozen host notices when it thaws. Its
// listeners stay.
func (n *Net) Drop(host string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.drop(host)
}

func (n *Net) drop(pattern string) (dropped int) {
	for c := range n.conns {
		if matches(pattern, c.host) && c.abort() {
			dropped++
		}
	}
	return dropped
}

// isFrozen tells whether a host's calls wait.
func (n *Net) isFrozen(host string) bool {
	if n.frozen[host] {
		return true
	}
	for range n.at(Freeze, host, host) {
		return true
	}
	return false
}

// refresh makes everything that waits look again, after hosts or paths changed.
func (n *Net) refresh() {
	now := time.Now()
	for c := range n.conns {
		c.out.refresh(now)
		c.readable.wake()
		c.writable.wake()
	}
	n.changed.wake()
}
