package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// A service is never frozen, and its session may last for minutes: a proxy whose
// machine is gone must not keep it that long.
func TestServiceProbesTheMachineOfItsProxy(t *testing.T) {
	s := startService(t)
	nc, err := net.Dial("tcp", s.called(t, nil).Address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	preface := wire.Preface(wire.RoleProxy)
	if _, err := nc.Write(preface[:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, make([]byte, wire.PrefaceSize+wire.HeaderSize)); err != nil { // the link is made
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		next, ok := nextProbe(t, nc.RemoteAddr(), nc.LocalAddr())
		if ok && next < 3*time.Second {
			return
		}
		// Until what was said is acknowledged another timer runs.
		if ok || time.Now().After(end) {
			t.Fatalf("the next probe is in %v (known: %v), want 2 s at most", next, ok)
		}
	}
}

// nextProbe is when the system probes the other side of a connection of 127.0.0.1 next;
// not ok if another of its timers runs.
func nextProbe(t *testing.T, local, remote net.Addr) (in time.Duration, ok bool) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	form := func(a net.Addr) string { return fmt.Sprintf("0100007F:%04X", a.(*net.TCPAddr).Port) }
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line) // number, local, remote, state, queues, timer:when in hundredths
		if len(f) < 6 || f[1] != form(local) || f[2] != form(remote) {
			continue
		}
		when, probes := strings.CutPrefix(f[5], "02:")
		ticks, err := strconv.ParseInt(when, 16, 64)
		return time.Duration(ticks) * 10 * time.Millisecond, probes && err == nil
	}
	t.Fatalf("no connection of %v and %v", local, remote)
	return 0, false
}
