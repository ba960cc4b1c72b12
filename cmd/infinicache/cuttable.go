package main

import (
	"net"
	"net/netip"
	"sync"
)

// cuttable is a listener whose accepted connections can be cut by the address at
// their other end.
type cuttable struct {
	net.Listener
	mu    sync.Mutex
	conns map[netip.AddrPort]*cuttableConn
}

func newCuttable(l net.Listener) *cuttable {
	return &cuttable{Listener: l, conns: map[netip.AddrPort]*cuttableConn{}}
}

// Accept implements net.Listener.
func (c *cuttable) Accept() (net.Conn, error) {
	nc, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nc, nil
	}
	conn := &cuttableConn{TCPConn: tcp, from: c, at: remote(nc)}
	c.mu.Lock()
	c.conns[conn.at] = conn
	c.mu.Unlock()
	return conn, nil
}

func remote(nc net.Conn) netip.AddrPort {
	tcp, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// cut closes the connections from these addresses.
func (c *cuttable) cut(from []netip.AddrPort) {
	var chosen []*cuttableConn
	c.mu.Lock()
	for _, at := range from {
		if conn := c.conns[netip.AddrPortFrom(at.Addr().Unmap(), at.Port())]; conn != nil {
			chosen = append(chosen, conn)
		}
	}
	c.mu.Unlock()
	for _, conn := range chosen {
		conn.Close()
	}
}

// cuttableConn is a connection that its listener remembers until it is closed.
// It stays a *net.TCPConn for whoever writes buffers to it.
type cuttableConn struct {
	*net.TCPConn
	from *cuttable
	at   netip.AddrPort
}

// Close implements net.Conn.
func (c *cuttableConn) Close() error {
	c.from.mu.Lock()
	if c.from.conns[c.at] == c {
		delete(c.from.conns, c.at)
	}
	c.from.mu.Unlock()
	return c.TCPConn.Close()
}
