package loopback

import (
	"net"
	"testing"
)

func TestReservedPortIsListenedAtAgainAndAgain(t *testing.T) {
	at := Unused(t)
	for range 3 {
		if nc, err := net.Dial("tcp", at.String()); err == nil {
			nc.Close()
			t.Fatal("somebody listens")
		}
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		nc, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		there, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		there.Close() // first, so that the port remembers the connection
		nc.Close()
		l.Close()
	}
}
