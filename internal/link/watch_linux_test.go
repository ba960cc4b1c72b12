package link

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/infinicache/infinicache/internal/loopback"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestWatchedLinkHasKeepAlive(t *testing.T) {
	plain, _ := pair(t)
	below, _ := pair(t)
	left, _ := pair(t)
	New(plain, Config{Watch: true})
	New(tls.Client(below, &tls.Config{InsecureSkipVerify: true}), Config{Watch: true})
	New(left, Config{})
	for _, test := range []struct {
		name string
		nc   net.Conn
		want bool
	}{{"TCP", plain, true}, {"TLS", below, true}, {"not watched", left, false}} {
		got := map[string]int{}
		raw, err := test.nc.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				for name, option := range map[string]int{"idle": unix.TCP_KEEPIDLE, "interval": unix.TCP_KEEPINTVL, "count": unix.TCP_KEEPCNT} {
					got[name], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
				}
				got["on"], _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		if is := got["on"] == 1 && got["idle"] == 2 && got["interval"] == 1 && got["count"] == 3; is != test.want {
			t.Errorf("%s: keep-alive %v, set %v, want %v", test.name, got, is, test.want)
		}
	}
}

// longEnough is more than a peer that is gone is waited for.
const longEnough = probeAfter + probes*probeEvery + 2*watchEvery

// A process that reads nothing is not gone: its system answers.
func TestPeerThatDoesNotReadIsNotGone(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	busy := New(a, Config{Watch: true})
	body := make([]byte, wire.BlockSize)
	const blocks = 100 // more than the systems take for a process that does not read
	var released count
	for i := range uint32(blocks) {
		if err := busy.SendBlock(1, wire.Block{Index: i}, body, nil, &released); err != nil {
			t.Fatal(err)
		}
	}
	over := make(chan error, 1)
	go func() { over <- busy.Run(t.Context(), &recorder{}) }()
	select {
	case err := <-over:
		t.Fatalf("the link ended: %v", err)
	case <-time.After(longEnough):
	}
	if n := released.n.Load(); n == blocks {
		t.Fatal("the system took all; nothing was tested")
	}
	left, done := blocks, make(chan struct{})
	reader := New(b, Config{})
	go reader.Run(t.Context(), &recorder{onEach: func() {
		if left--; left == 0 {
			close(done)
		}
	}})
	select {
	case <-done:
	case err := <-over:
		t.Errorf("the link ended: %v", err)
	case <-time.After(time.Minute):
		t.Error("the blocks do not arrive")
	}
	busy.Close(nil)
	reader.Close(nil)
}

// The other side's machine goes, and its network with it: no end of the connection is
// told of, and nothing is answered. The test runs in a network of its own, which it
// takes down.
func TestMachineThatIsGone(t *testing.T) {
	t.Parallel()
	if !loopback.Alone(t) {
		return
	}
	loopback.SetUp(t, true)
	type peer struct {
		name string
		link *Conn
		over chan error
	}
	start := func(name string, watch bool) peer {
		a, b := pair(t)
		p := peer{name, New(a, Config{Watch: watch}), make(chan error, 1)}
		go func() { p.over <- p.link.Run(context.Background(), &recorder{}) }()
		if err := p.link.Send(wire.TypePing, 0, 0, &wire.Session{}); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, wire.HeaderSize)
		if _, err := readFull(b, head); err != nil { // the link is up, and its word acknowledged
			t.Fatal(err)
		}
		return p
	}
	idle, asking, blind := start("idle", true), start("asking", true), start("not watched", false)
	loopback.SetUp(t, false)
	began := time.Now()
	for _, p := range []peer{asking, blind} {
		if err := p.link.Send(wire.TypePing, 0, 0, &wire.Session{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []peer{idle, asking} {
		select {
		case err := <-p.over:
			t.Logf("%s: after %v: %v", p.name, time.Since(began).Round(100*time.Millisecond), err)
		case <-time.After(time.Minute):
			t.Errorf("%s: the link is not given up", p.name)
		}
	}
	if err := blind.link.Err(); err != nil {
		t.Errorf("the link that is not watched ended, too: %v", err)
	}
}
