// Package replay plays a request trace against a cache as the trace's users
// would: each request is a GET, and a miss is followed by a PUT of what the
// origin would have given. Contents follow from an object's name, so every byte
// that the cache returns can be verified.
//
// An object has the size of the response that first filled the cache with it: a
// trace may name other sizes later, of responses that were broken off or partial.
// Requests for one object are played one at a time, in the trace's order.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/trace"
	"github.com/infinicache/infinicache/internal/wire"
)

// Cache is what a trace is played against. Its methods are safe for concurrent
// use.
type Cache interface {
	// Get writes the object's bytes, in order, to what sink returns for its size,
	// having called sink once or, for a miss, not at all. A miss matches
	// wire.ErrNotFound; a read that fails half-way because of what the nodes lost
	// matches wire.ErrLost, wire.ErrUnheard or wire.ErrTimeout.
	Get(ctx context.Context, key string, sink func(size int64) io.Writer) error
	// Put stores size bytes of body.
	Put(ctx context.Context, key string, size int64, body io.Reader) error
}

// Source gives requests, and io.EOF after the last. *trace.Reader is one.
type Source interface {
	Next() (trace.Request, error)
}

// MaxClients is the most requests in flight.
const MaxClients = 1024

// giveUp is how many requests in a row may fail, misses not counted, until the
// cache is believed to be gone.
const giveUp = 50

// ErrGone is matched by Run's error when the cache stopped answering.
var ErrGone = errors.New("the cache does not answer")

// Config says what is played, and how.
type Config struct {
	Trace Source
	Cache Cache

	// Scale multiplies every object's size; zero means 1.
	Scale float64
	// Requests is how many are played at most; zero means all.
	Requests int
	// Speed is how many times faster than it was recorded the trace is played;
	// zero means as fast as the cache answers.
	Speed float64
	// Clients is how many requests are in flight at most, 1 to MaxClients; zero
	// means 8.
	Clients int
	// Unverified leaves the bytes that come back unlooked at.
	Unverified bool

	// Reclaim takes instances away and says how many; it is called every
	// ReclaimEvery, and never while it still runs. Its error ends the replay. A
	// ReclaimEvery of zero means never.
	Reclaim      func(context.Context) (int, error)
	ReclaimEvery time.Duration

	// Progress is called from one goroutine about every second with what was
	// done so far; nil for nobody.
	Progress func(Report)
}

func (c Config) withDefaults() (Config, error) {
	var errs []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	if c.Scale == 0 {
		c.Scale = 1
	}
	if c.Clients == 0 {
		c.Clients = 8
	}
	complain(c.Trace == nil, "Trace: none given")
	complain(c.Cache == nil, "Cache: none given")
	complain(!(c.Scale > 0) || math.IsInf(c.Scale, 1), "Scale: %v given, a number above 0 allowed", c.Scale)
	complain(c.Requests < 0, "Requests: %d given, 0 or more allowed", c.Requests)
	complain(!(c.Speed >= 0) || math.IsInf(c.Speed, 1), "Speed: %v given, 0 or more allowed", c.Speed)
	complain(c.Clients < 1 || c.Clients > MaxClients, "Clients: %d given, 1 to %d allowed", c.Clients, MaxClients)
	complain(c.ReclaimEvery < 0, "ReclaimEvery: %v given, 0 or more allowed", c.ReclaimEvery)
	complain(c.ReclaimEvery > 0 && c.Reclaim == nil, "Reclaim: none given, but it is to be called every %v", c.ReclaimEvery)
	return c, errors.Join(errs...)
}

// replay is one run.
type replay struct {
	cfg   Config
	lanes lanes
	jobs  chan trace.Request
	slots chan struct{} // a token per request read and not yet done
	stop  context.CancelCauseFunc
	began time.Time

	mu       sync.Mutex
	report   Report
	tally    tally
	failures int // in a row
}

// Run plays the trace and reports what happened. When ctx ends, the trace has a
// malformed line, or the cache is gone, it returns both the report so far and the
// error. Requests that fail are counted and do not end the replay.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Report{}, fmt.Errorf("replay: %w", err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &replay{
		cfg:  cfg,
		jobs: make(chan trace.Request),
		// Room for those that wait behind their own object.
		slots: make(chan struct{}, 8*cfg.Clients),
		stop:  stop,
		began: time.Now(),
		tally: newTally(),
	}

	var clients, others sync.WaitGroup
	for range cfg.Clients {
		clients.Go(func() { r.client(ctx) })
	}
	played, over := context.WithCancel(ctx)
	if cfg.ReclaimEvery > 0 {
		others.Go(func() { r.reclaim(played) })
	}
	if cfg.Progress != nil {
		others.Go(func() { r.progress(played) })
	}
	readErr := r.dispatch(ctx)
	close(r.jobs)
	clients.Wait()
	over()
	others.Wait()

	err = readErr
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("replay: %w", err)
	}
	return r.soFar(), err
}

// dispatch reads the trace and hands each request out when its time has come.
func (r *replay) dispatch(ctx context.Context) error {
	var first time.Duration
	for n := 0; r.cfg.Requests == 0 || n < r.cfg.Requests; n++ {
		req, err := r.cfg.Trace.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			first = req.At
		}
		if r.cfg.Speed > 0 {
			due := time.Duration(float64(req.At-first) / r.cfg.Speed)
			if !wait(ctx, due-time.Since(r.began)) {
				return nil
			}
		}
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		if !r.lanes.enter(req) {
			continue // it follows the one that is in flight
		}
		select {
		case r.jobs <- req:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// wait returns after d, or false when ctx ends before.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// client plays requests, each with those that waited behind it.
func (r *replay) client(ctx context.Context) {
	for req := range r.jobs {
		for more := true; more; req, more = r.lanes.leave(req.Object) {
			if ctx.Err() == nil {
				r.play(ctx, req)
			}
			<-r.slots
		}
	}
}

// play is one request of the trace.
func (r *replay) play(ctx context.Context, req trace.Request) {
	size := req.Scaled(r.cfg.Scale).Size
	got := r.get(ctx, req.Object)
	if ctx.Err() != nil {
		return
	}
	put := putting{}
	if !got.hit {
		put = r.put(ctx, req.Object, size)
		if ctx.Err() != nil {
			return
		}
	}
	r.book(req.Object, size, got, put)
}

// getting is how a GET went.
type getting struct {
	hit   bool
	cause wire.Cause // of a miss
	err   error      // neither hit nor miss
	took  time.Duration
	bytes int64
	wrong int64
	what  error // the first wrong byte
}

func (r *replay) get(ctx context.Context, key string) getting {
	var check *trace.Verifier
	var counted counter
	began := time.Now()
	err := r.cfg.Cache.Get(ctx, key, func(size int64) io.Writer {
		if r.cfg.Unverified {
			return &counted
		}
		// What this replay stored last, if it did, is what must come back.
		if stored, ok := r.storedSize(key); ok {
			size = stored
		}
		check = trace.NewVerifier(key, size)
		return io.MultiWriter(&counted, check)
	})
	g := getting{took: time.Since(began), bytes: counted.n}
	if check != nil {
		g.wrong = check.Wrong()
		if err == nil || g.wrong > 0 {
			g.what = check.Close()
		}
		var wrong *trace.WrongContent
		if err == nil && errors.As(g.what, &wrong) {
			g.wrong += max(wrong.Size-wrong.Received, 0) // missing ones are wrong, too
		}
	}
	switch {
	case err == nil:
		g.hit = true
	case errors.Is(err, wire.ErrNotFound):
		g.cause = wire.CauseOf(err)
	case errors.Is(err, wire.ErrLost):
		g.cause = wire.CauseLost
	case errors.Is(err, wire.ErrUnheard):
		g.cause = wire.CauseUnheard
	case errors.Is(err, wire.ErrTimeout):
		g.cause = wire.CauseSlow
	default:
		g.err = err
	}
	return g
}

// putting is how a PUT went; took is zero if there was none.
type putting struct {
	took time.Duration
	err  error
}

func (r *replay) put(ctx context.Context, key string, size int64) putting {
	began := time.Now()
	err := r.cfg.Cache.Put(ctx, key, size, trace.Content(key, size))
	return putting{took: max(time.Since(began), 1), err: err}
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// reclaim takes instances away until ctx ends.
func (r *replay) reclaim(ctx context.Context) {
	for wait(ctx, r.cfg.ReclaimEvery) {
		n, err := r.cfg.Reclaim(ctx)
		if err != nil && ctx.Err() == nil {
			r.stop(fmt.Errorf("reclaim: %w", err))
			return
		}
		r.mu.Lock()
		r.report.Reclaimed += n
		r.mu.Unlock()
	}
}

func (r *replay) progress(ctx context.Context) {
	for wait(ctx, time.Second) {
		r.cfg.Progress(r.soFar())
	}
}
