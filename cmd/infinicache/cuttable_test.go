package main

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCuttable(l)
	defer c.Close()
	var near, far [2]net.Conn
	for i := range near {
		if near[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer near[i].Close()
		if far[i], err = c.Accept(); err != nil {
			t.Fatal(err)
		}
		defer far[i].Close()
	}
	at := near[0].LocalAddr().(*net.TCPAddr).AddrPort()
	c.cut([]netip.AddrPort{at, netip.MustParseAddrPort("127.0.0.1:1")})
	near[0].SetDeadline(time.Now().Add(time.Minute))
	if _, err := near[0].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read of the one that was cut = %v, want EOF", err)
	}
	go near[1].Write([]byte("x"))
	far[1].SetDeadline(time.Now().Add(time.Minute))
	if _, err := far[1].Read(make([]byte, 1)); err != nil {
		t.Errorf("read of the other = %v", err)
	}
	far[1].Close()
	if len(c.conns) != 0 {
		t.Errorf("%d connections are remembered, want none", len(c.conns))
	}
}
