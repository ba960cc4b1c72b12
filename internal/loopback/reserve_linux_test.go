package loopback

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fewVariable is set in the process that has a network for itself.
const fewVariable = "INFINICACHE_TEST_FEW_PORTS"

// Where ports are few, who asks for any listens and dials at all others. The test runs
// in a network of its own.
func TestReservedPortIsGivenToNobody(t *testing.T) {
	if os.Getenv(fewVariable) == "" {
		few(t)
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40009"), 0); err != nil {
		t.Skip(err)
	}
	up(t)
	kept := Unused(t)
	others, dialled := 0, 0
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			break
		}
		defer l.Close()
		if addr(l.Addr()) == kept {
			t.Error("the port is given to who listens at any")
		}
		if others++; others < 4 {
			continue
		}
		for {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				break
			}
			defer nc.Close()
			if addr(nc.LocalAddr()) == kept {
				t.Error("the port is given to who dials")
			}
			dialled++
		}
	}
	if others < 4 || dialled == 0 {
		t.Errorf("%d listen and %d dialled beside it", others, dialled)
	}
}

func addr(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

// few runs the test that calls it in a process that has a network for itself.
func few(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), fewVariable+"=1")
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
	default:
		t.Logf("%s", out)
	}
}

// up takes this process's network up.
func up(t *testing.T) {
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
	flags.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, flags); err != nil {
		t.Skipf("no network of its own here: %v", err)
	}
}
