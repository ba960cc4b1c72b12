package link

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// aloneVariable is set in the process that has a network for itself.
const aloneVariable = "INFINICACHE_TEST_ALONE"

// The other side's machine goes, and its network with it: no end of the connection is
// told of, and nothing is answered. The test runs in a network of its own, which it
// takes down.
func TestMachineThatIsGone(t *testing.T) {
	if os.Getenv(aloneVariable) == "" {
		t.Parallel()
		alone(t)
		return
	}
	lo(t, true)
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
	lo(t, false)
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

// alone runs the test that calls it in a process that has a network for itself.
func alone(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), aloneVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("no network of its own here: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	default:
		t.Logf("%s", out)
	}
}

// lo takes this process's network up or down.
func lo(t *testing.T, up bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(fd)
	flags, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	if up {
		flags.SetUint16(unix.IFF_UP)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, flags); err != nil {
		t.Skipf("no network of its own here: %v", err)
	}
}
