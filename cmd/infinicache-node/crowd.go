package main

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// maxVisitors is how many connections may be open at the HTTP door: few enough for
// the descriptors and the little heap of the process, and many more than a platform
// needs for one session at a time.
const maxVisitors = 128

// crowd is a listener that bounds the connections of an http.Server, whose ConnState
// it has to be told. Where there are too many, the one that has waited the longest for
// a request has to go; if none waits, the new one.
type crowd struct {
	net.Listener
	most int

	mu      sync.Mutex
	waiting map[net.Conn]time.Time // since when, of all; zero for one that has a request
}

func newCrowd(l net.Listener, most int) *crowd {
	return &crowd{Listener: l, most: most, waiting: map[net.Conn]time.Time{}}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		nc, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		out := c.admit(nc)
		if out != nil {
			out.Close()
		}
		if out != nc {
			return nc, nil
		}
	}
}

// admit says which connection has to go for a new one; it may be that; nil if none.
func (c *crowd) admit(nc net.Conn) (out net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) >= c.most {
		out = nc
		var first time.Time
		for other, since := range c.waiting {
			if !since.IsZero() && (out == nc || since.Before(first)) {
				out, first = other, since
			}
		}
		if out == nc {
			return out
		}
		delete(c.waiting, out)
	}
	c.waiting[nc] = time.Now()
	return out
}

// state is the http.Server's ConnState.
func (c *crowd) state(nc net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.waiting[nc]; !ok {
		return // it had to go
	}
	switch s {
	case http.StateActive:
		c.waiting[nc] = time.Time{}
	case http.StateIdle:
		c.waiting[nc] = time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(c.waiting, nc)
	}
}
