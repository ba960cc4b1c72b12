// Package redis is the front door for Redis clients: it speaks RESP, versions 2
// and 3, and turns commands into calls of a [Cache].
//
// Values flow through it both ways without being kept. The value of SET goes
// from the socket into Cache.Put, and GET writes blocks to the socket as they
// arrive; the header of a reply leaves together with its first bytes, so that an
// object found lost before that is a clean miss. When an object cannot be
// finished after bytes of it were sent, the connection ends: a client may see a
// short reply and a closed connection, never a wrong byte.
//
// What differs from Redis, because it is a cache of large objects:
//
//   - MSET is not atomic: its pairs are stored one by one as they arrive.
//   - A value of more than 1 MiB that is followed by options (SET k v NX) goes to
//     the cache before its options are read. They take effect in one step with
//     the value, but a value that NX or XX keeps out was sent for nothing.
//   - The arguments of one command, values aside, may be 1 MiB together, and a
//     key 64 KiB.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Door serves Redis clients. Make one with [New].
type Door struct {
	cfg     Config
	table   commandTable
	metrics *metrics
	start   time.Time
	held    atomic.Int64 // bytes of Config.ArgumentMemory in use
	nextID  atomic.Int64

	mu    sync.Mutex
	conns map[int64]*conn
}

// New checks cfg and makes a Door. It starts nothing.
func New(cfg Config) (*Door, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("redis door: %w", err)
	}
	cfg = cfg.withDefaults()
	table := newTable()
	m, err := newMetrics(cfg.Metrics, table)
	if err != nil {
		return nil, fmt.Errorf("redis door: %w", err)
	}
	return &Door{
		cfg:     cfg,
		table:   table,
		metrics: m,
		start:   time.Now(),
		conns:   make(map[int64]*conn),
	}, nil
}

// Serve accepts connections from ln, which it closes, until ctx ends; a Door
// serves once. Then idle connections end at once and the others after the
// command that they are in, or, when Config.Grace has passed, in the middle of
// it. Serve returns when the goroutine of every connection has ended: nil if ctx
// ended, otherwise what made accepting impossible.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	// Commands outlive ctx by the grace.
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)

	var wg sync.WaitGroup
	err := d.accept(ctx, ln, func(nc net.Conn) {
		c := newConn(d, nc)
		if !d.add(c) {
			d.metrics.refused.add(1)
			c.refuse("ERR max number of clients reached")
			return
		}
		wg.Go(func() {
			defer d.remove(c)
			c.serve(work)
		})
	})
	ln.Close()
	d.drain()
	grace := time.AfterFunc(d.cfg.Grace, func() {
		cancel(errShutdown)
		d.closeAll()
	})
	defer grace.Stop()
	wg.Wait()
	return err
}

var errShutdown = errors.New("redis door: shutting down")

// accept hands out connections until ctx ends. Running out of file descriptors
// is no reason to end: it waits for some to come free.
func (d *Door) accept(ctx context.Context, ln net.Listener, serve func(net.Conn)) error {
	const least, most = 5 * time.Millisecond, time.Second
	wait := least
	for {
		nc, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return nil
		case err == nil:
			wait = least
			serve(nc)
		case isTemporary(err):
			d.cfg.Log.Warn("accept", "err", err, "wait", wait)
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, most)
		default:
			return fmt.Errorf("redis door: accept: %w", err)
		}
	}
}

// isTemporary knows the errors of accept after which another may succeed: no
// file descriptors, or a connection that was reset while it waited.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func (d *Door) add(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.conns) >= d.cfg.MaxConns {
		return false
	}
	d.conns[c.id] = c
	d.metrics.accepted.add(1)
	d.metrics.connections.Inc()
	return true
}

func (d *Door) remove(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c.id)
	d.metrics.connections.Dec()
}

// all returns the connections being served, in no order.
func (d *Door) all() []*conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	conns := make([]*conn, 0, len(d.conns))
	for _, c := range d.conns {
		conns = append(conns, c)
	}
	return conns
}

// drain tells every connection to end when it is idle.
func (d *Door) drain() {
	for _, c := range d.all() {
		c.sock.drain()
	}
}

// closeAll ends every connection whatever it does.
func (d *Door) closeAll() {
	for _, c := range d.all() {
		c.sock.close()
	}
}
