package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/loopback"
)

// startCache runs infinicache up until the test ends.
func startCache(t *testing.T, flags ...string) *daemon {
	t.Helper()
	return startCommand(t, append([]string{
		"up", "--client", "127.0.0.1:0", "--redis", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--seed", "7",
	}, flags...))
}

// logs numbers the files of logs.
var logs atomic.Uint32

// startCommand runs a command that serves. When the test ends it must end well,
// if it still runs, and leave no process and no miss without a cause.
func startCommand(t *testing.T, args []string) *daemon {
	t.Helper()
	d, err := newDaemon(filepath.Join(t.TempDir(), fmt.Sprintf("%s-%d.log", args[0], logs.Add(1))), args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.over {
			return
		}
		if err := d.stop(syscall.SIGTERM); err != nil {
			t.Errorf("%s: %v", args[0], err)
			d.kill()
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", args[0], tail(d.logged(), 20<<10))
		}
	})
	return d
}

// tail is the last n bytes of a text.
func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// kill ends it at once, and returns when it is gone.
func (d *daemon) kill() {
	d.over = true
	_ = d.cmd.Process.Kill() // an error means that it has ended
	<-d.ended
}

// separate is a platform, and the proxy over it that is the latest one.
type separate struct {
	t        *testing.T
	platform *daemon
	proxy    *daemon
	flags    []string
}

// startSeparate runs a platform and a proxy with a journal. Clients and instances
// find the next proxy where they found the last one.
func startSeparate(t *testing.T, shared, platform, proxy []string) *separate {
	t.Helper()
	a := &separate{t: t}
	a.platform = startCommand(t, slices.Concat([]string{
		"platform", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--seed", "7",
	}, shared, platform))
	dir := t.TempDir()
	a.flags = slices.Concat([]string{
		"proxy", "--platform", a.platform.at["invoke"], "--links", loopback.Unused(t).String(), "--client", loopback.Unused(t).String(),
		"--redis", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--seed", "7",
		"--key-file", filepath.Join(dir, "pool.key"), "--journal", filepath.Join(dir, "journal"),
	}, shared, proxy)
	a.reign()
	return a
}

// reign starts a proxy.
func (a *separate) reign() {
	a.t.Helper()
	a.proxy = startCommand(a.t, a.flags)
}

// newClient gives a client of the cache until the test ends.
func newClient(t *testing.T, at *daemon) *infinicache.Client {
	t.Helper()
	c, err := infinicache.New(infinicache.Config{Proxies: []string{at.at["client"]}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// clientsOf makes clients of the cache, until the test ends.
func clientsOf(t *testing.T, at *daemon) func() *infinicache.Client {
	return func() *infinicache.Client { return newClient(t, at) }
}

// see is the status of a daemon that must have one.
func see(t *testing.T, d *daemon) admin.Status {
	t.Helper()
	s, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instances is how many each node has.
func instances(s admin.Status) []int {
	counts := make([]int, len(s.Nodes))
	for i, n := range s.Nodes {
		counts[i] = len(n.Instances)
	}
	return counts
}

// signalNode sends a signal to the processes of all instances of a node, and
// lists them.
func signalNode(t *testing.T, s admin.Status, node int, signal syscall.Signal) (pids []int) {
	t.Helper()
	for _, i := range s.Nodes[node].Instances {
		if i.PID == 0 {
			continue
		}
		if err := syscall.Kill(i.PID, signal); err != nil {
			t.Fatalf("signal %v to process %d of node %d: %v", signal, i.PID, node, err)
		}
		pids = append(pids, i.PID)
	}
	return pids
}

// awaitStates waits until every node of a proxy is in one of the states.
func awaitStates(t *testing.T, proxy *daemon, states ...string) {
	t.Helper()
	await(t, fmt.Sprintf("all nodes are %v", states), func() bool {
		for _, n := range see(t, proxy).Nodes {
			ok := false
			for _, state := range states {
				ok = ok || n.State == state
			}
			if !ok {
				return false
			}
		}
		return true
	})
}
