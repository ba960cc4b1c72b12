package link

import (
	"net"
	"slices"
	"sync"
)

// Greetings are the connections at a door of which it is not known yet whose they are,
// the longest there first. Where there are too many the longest there has to go:
// strangers who say nothing keep nobody out who is quick. The zero value is empty.
type Greetings struct {
	mu  sync.Mutex
	all []net.Conn
}

// Enter adds a connection to at most as many, more than 0. It tells whether there were
// too many, and then has closed the one that was there the longest.
func (g *Greetings) Enter(nc net.Conn, most int) (full bool) {
	var out net.Conn
	g.mu.Lock()
	if full = len(g.all) >= most; full {
		out = g.all[0]
		g.all = slices.Delete(g.all, 0, 1)
	}
	g.all = append(g.all, nc)
	g.mu.Unlock()
	if full {
		out.Close()
	}
	return full
}

// Leave has a connection be none of them any more. It tells whether it was one; if
// not it has left, or had to go.
func (g *Greetings) Leave(nc net.Conn) (was bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.all, nc)
	if at < 0 {
		return false
	}
	g.all = slices.Delete(g.all, at, at+1)
	return true
}
