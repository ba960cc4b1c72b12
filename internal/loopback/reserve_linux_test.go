package loopback

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

// Where ports are few, who asks for any listens and dials at all others. The test runs
// in a network of its own.
func TestReservedPortIsGivenToNobody(t *testing.T) {
	if !Alone(t) {
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40009"), 0); err != nil {
		t.Skip(err)
	}
	SetUp(t, true)
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
