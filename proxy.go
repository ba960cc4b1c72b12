package infinicache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/stripe"
)

// proxy is one proxy of the cache and the link to it, while there is one.
type proxy struct {
	client *Client
	addr   string
	tail   *stripe.Tail

	mu       sync.Mutex
	conn     *connection // nil: none
	dialing  *dialing    // nil: nobody dials
	failures int         // dials in a row that gave no working link
	retryAt  time.Time   // not to be dialled before
	lastErr  error       // of the last failure
}

// dialing is an attempt to link that any number of calls wait for. conn and err
// are set when done is closed.
type dialing struct {
	done chan struct{}
	conn *connection
	err  error
}

const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// pause is how long to wait after so many failures in a row: twice as long each
// time, and a random part less, so that clients do not come back all at once.
func pause(failures int) time.Duration {
	d := lastPause
	if n := failures - 1; n < 6 {
		d = min(firstPause<<max(n, 0), lastPause)
	}
	return d/2 + rand.N(d/2)
}

// do calls attempt with a link until it succeeds, or fails for good, or has been
// tried often enough.
func (p *proxy) do(ctx context.Context, attempt func(*connection) error) error {
	for tries := 0; ; tries++ {
		conn, err := p.connection(ctx)
		if err == nil {
			err = attempt(conn)
		}
		if err == nil || tries >= p.client.cfg.Retries || !worthRetry(err) {
			return err
		}
		if err := p.rest(ctx, tries, err); err != nil {
			return err
		}
	}
}

// rest waits before a proxy is asked again that said that it is busy. A link that
// broke has its own pause.
func (p *proxy) rest(ctx context.Context, tries int, err error) error {
	if errors.Is(err, ErrBusy) {
		timer := time.NewTimer(pause(tries + 1))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// connection returns the link, and makes it first if need be. While a proxy has
// been down for a while, calls between two attempts to reach it fail at once.
func (p *proxy) connection(ctx context.Context) (*connection, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	if c := p.conn; c != nil && c.ended() == nil {
		p.mu.Unlock()
		return c, nil
	}
	d := p.dialing
	if d == nil {
		wait := time.Until(p.retryAt)
		if wait > 0 && p.failures > p.client.cfg.Retries {
			err := p.lastErr
			p.mu.Unlock()
			return nil, err
		}
		d = &dialing{done: make(chan struct{})}
		if !p.client.start(func() { p.serve(d, wait) }) {
			p.mu.Unlock()
			return nil, errClientClosed
		}
		p.dialing = d
	}
	p.mu.Unlock()
	select {
	case <-d.done:
		return d.conn, d.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// serve dials, after a pause, and serves the link until it ends.
func (p *proxy) serve(d *dialing, wait time.Duration) {
	log := p.client.cfg.Logger.With("proxy", p.addr)
	conn, err := p.dial(wait)
	p.mu.Lock()
	p.dialing, p.conn = nil, conn
	d.conn, d.err = conn, err
	if err != nil {
		p.fail(err)
	}
	p.mu.Unlock()
	close(d.done)
	if err != nil {
		log.Warn("proxy not reached", "err", err)
		return
	}
	log.Debug("link opened")
	conn.run(p.client.life)
	err = conn.ended()
	log.Info("link ended", "err", err)

	p.mu.Lock()
	defer p.mu.Unlock()
	if conn.wasHeard() {
		p.failures, p.retryAt = 0, time.Time{}
	} else {
		p.fail(err)
	}
	if p.conn == conn {
		p.conn = nil
	}
}

// fail notes that a dial led to nothing. p.mu is held.
func (p *proxy) fail(err error) {
	p.failures++
	p.retryAt = time.Now().Add(pause(p.failures))
	p.lastErr = err
}

func (p *proxy) dial(wait time.Duration) (*connection, error) {
	life := p.client.life
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-life.Done():
		}
	}
	cfg := &p.client.cfg
	ctx, cancel := context.WithTimeoutCause(life, cfg.DialTimeout,
		fmt.Errorf("not connected within %v: %w", cfg.DialTimeout, context.DeadlineExceeded))
	defer cancel()
	nc, err := cfg.Dial(ctx, p.addr)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &linkError{p.addr, err}
	}
	return newConnection(nc, p.addr, cfg.StallTimeout), nil
}
