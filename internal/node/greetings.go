package node

import (
	"net"
	"slices"
	"sync"
)

// maxGreetings bounds the connections that are not known yet.
const maxGreetings = 16

// greetings are the connections at the instance's door of which it is not known yet
// whose they are, the longest there first. Where there are too many the longest there
// has to go: strangers who say nothing keep nobody out who is quick.
type greetings struct {
	mu  sync.Mutex
	all []net.Conn
}

// enter adds a connection, and may close another one.
func (g *greetings) enter(nc net.Conn) {
	var out net.Conn
	g.mu.Lock()
	if len(g.all) == maxGreetings {
		out = g.all[0]
		g.all = slices.Delete(g.all, 0, 1)
	}
	g.all = append(g.all, nc)
	g.mu.Unlock()
	if out != nil {
		out.Close()
	}
}

// leave has a connection be none of them any more.
func (g *greetings) leave(nc net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = slices.DeleteFunc(g.all, func(c net.Conn) bool { return c == nc })
}
