package proxy

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// Open pins the newest version of a key for reading. A miss is a
// wire.ErrNotFound with its cause; wire.ErrEncrypted is an object that another key
// than the proxy's has sealed.
func (p *Proxy) Open(ctx context.Context, key string) (object.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	pin, err := p.open(key)
	if err != nil {
		return nil, err
	}
	if err := p.key.Fits(pin.Record().Seal); err != nil {
		pin.Release()
		return nil, err
	}
	return &reader{p: p, pin: pin}, nil
}

// open is Open for all doors: it counts the misses.
func (p *Proxy) open(key string) (*catalog.Pin, error) {
	if err := p.reigns(); err != nil {
		return nil, err
	}
	pin, err := p.catalog.Open(key)
	if wire.CodeOf(err) == wire.CodeNotFound {
		p.metrics.miss(wire.CauseOf(err))
	}
	return pin, err
}

// reader is an object.Reader over the nodes.
type reader struct {
	p      *Proxy
	pin    *catalog.Pin
	engine *stripe.Reader
	served bool  // a range was
	failed bool  // another was not
	bytes  int64 // of those served
	once   sync.Once
}

// Info implements object.Reader.
func (r *reader) Info() object.Info { return r.pin.Info() }

// WriteRange implements object.Reader.
func (r *reader) WriteRange(ctx context.Context, w io.Writer, off, n int64) (int64, error) {
	if r.engine == nil {
		r.engine = r.p.readerFor(r.pin, lifecycle.Serve)
	}
	out := &markedWriter{w: w}
	written, err := r.engine.WriteRange(ctx, out, off, n)
	switch {
	case err == nil:
		r.served = true
		r.bytes += written
	case ctx.Err() == nil && !out.failed && !r.failed:
		r.failed = true
		rec := r.pin.Record()
		err = r.p.readFailed(rec.Key, rec.Version, err)
	}
	return written, err
}

// Close implements object.Reader. It counts the hit: one, however many ranges
// there were, and none if there was a miss.
func (r *reader) Close() error {
	r.once.Do(func() {
		if r.served && !r.failed {
			r.p.metrics.hit(r.bytes)
		}
		r.pin.Release()
	})
	return nil
}

// markedWriter remembers whether it was the writer that failed.
type markedWriter struct {
	w      io.Writer
	failed bool
}

func (m *markedWriter) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.failed = m.failed || err != nil
	return n, err
}

// Put stores size bytes of body as the newest version of a key.
func (p *Proxy) Put(ctx context.Context, key string, size int64, body io.Reader, o object.PutOptions) (object.PutResult, error) {
	t := &target{opts: o, events: make(chan stripe.Event, 64), notify: make(chan struct{}, 1), done: make(chan struct{})}
	var sealed wire.Seal
	if p.key != nil {
		s := p.key.Seal(key, body, size)
		body, size, sealed = s, s.Size(), s.Seal()
	}
	u, err := p.beginUpload(key, size, sealed, o, t)
	if standing, failed := conditionFailed(err); failed {
		return object.PutResult{Replaced: p.pinned(standing)}, nil
	}
	if err != nil {
		return object.PutResult{}, err
	}
	t.u = u
	go t.pump()
	defer close(t.done)
	return stripe.Write(ctx, t, body, size, stripe.WriterOptions{Buffers: p.buffers, Codes: &p.codes})
}

// pinned makes a reader of a pin; nil of nil.
func (p *Proxy) pinned(pin *catalog.Pin) object.Reader {
	if pin == nil {
		return nil
	}
	return &reader{p: p, pin: pin}
}

// target is the engine's Target inside the proxy.
type target struct {
	u      *upload
	opts   object.PutOptions
	events chan stripe.Event
	notify chan struct{} // capacity 1: queue or err changed
	done   chan struct{} // closed when the writer is through

	mu    sync.Mutex
	queue []stripe.Event
	err   error
}

func (t *target) stored(number uint32) { t.push(stripe.Event{Stripe: number}, nil) }
func (t *target) resend(number uint32, chunk uint16) {
	t.push(stripe.Event{Stripe: number, Resend: true, Chunk: chunk}, nil)
}
func (t *target) failed(err error) { t.push(stripe.Event{}, err) }

func (t *target) push(ev stripe.Event, err error) {
	t.mu.Lock()
	if err == nil {
		t.queue = append(t.queue, ev)
	} else if t.err == nil {
		t.err = err
	}
	t.mu.Unlock()
	select {
	case t.notify <- struct{}{}:
	default:
	}
}

// pump passes events on, so that those who push never wait for the engine.
func (t *target) pump() {
	defer close(t.events)
	for {
		t.mu.Lock()
		queue, err := t.queue, t.err
		t.queue = nil
		t.mu.Unlock()
		for _, ev := range queue {
			select {
			case t.events <- ev:
			case <-t.done:
				return
			}
		}
		if err != nil {
			return
		}
		select {
		case <-t.notify:
		case <-t.done:
			return
		}
	}
}

// Plan implements stripe.Target.
func (t *target) Plan() stripe.Plan { return t.u.plan }

// Begin implements stripe.Target.
func (t *target) Begin(_ context.Context, number uint32, length int64) error {
	return t.u.begin(number, length)
}

// Block implements stripe.Target. The engine holds its own stripes' memory, so
// no window is needed.
func (t *target) Block(_ context.Context, b wire.Block, body []byte, owner stripe.Releaser) error {
	return t.u.block(b, body, link.Releaser(owner))
}

// Events implements stripe.Target.
func (t *target) Events() <-chan stripe.Event { return t.events }

// Commit implements stripe.Target.
func (t *target) Commit(ctx context.Context, size int64, stripes uint32) (object.PutResult, error) {
	if t.opts.Finish != nil {
		if err := t.opts.Finish(&t.opts); err != nil {
			return object.PutResult{}, err
		}
		if err := t.u.staged.SetOptions(t.opts); err != nil {
			return object.PutResult{}, err
		}
	}
	res, err := t.u.commit(ctx, size, stripes)
	return object.PutResult{Stored: res.Stored, Info: res.Info, Replaced: t.u.p.pinned(res.Replaced)}, err
}

// Abort implements stripe.Target.
func (t *target) Abort() { t.u.abort(wire.ErrCanceled) }

// Err implements stripe.Target.
func (t *target) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Pressed tells whether readers or writers of the front doors wait for memory
// that others hold. A door then should part with clients that do not move.
func (p *Proxy) Pressed() bool { return p.buffers.Waiting() }

// Stat describes the newest version of a key.
func (p *Proxy) Stat(_ context.Context, key string) (object.Info, error) {
	if err := p.reigns(); err != nil {
		return object.Info{}, err
	}
	return p.catalog.Stat(key)
}

// describe is Stat as it crosses the wire.
func (p *Proxy) describe(key string) (wire.Record, error) {
	if err := p.reigns(); err != nil {
		return wire.Record{}, err
	}
	return p.catalog.Describe(key)
}

// Delete makes a key a miss; take asks for a pinned reader of what was deleted.
func (p *Proxy) Delete(_ context.Context, key string, take bool) (existed bool, old object.Reader, err error) {
	if err := p.reigns(); err != nil {
		return false, nil, err
	}
	existed, pin, err := p.catalog.Delete(key, take)
	return existed, p.pinned(pin), err
}

// SetExpiry changes when the newest version expires, if decide says so, in one
// step with the look that decide takes at it; see [catalog.Catalog.SetExpiry].
func (p *Proxy) SetExpiry(_ context.Context, key string, decide func(object.Info) (at time.Time, change bool)) (found, changed bool, err error) {
	if err := p.reigns(); err != nil {
		return false, false, err
	}
	return p.catalog.SetExpiry(key, decide)
}

// Scan lists keys: about count from a cursor on, and the cursor to go on from,
// 0 at the end.
func (p *Proxy) Scan(_ context.Context, cursor uint64, count int) (keys []string, next uint64, err error) {
	keys, next = p.catalog.Scan(cursor, count)
	return keys, next, nil
}

// Len is how many objects there are.
func (p *Proxy) Len(context.Context) (int64, error) { return int64(p.catalog.Len()), nil }

// Flush deletes every object.
func (p *Proxy) Flush(context.Context) error {
	if err := p.reigns(); err != nil {
		return err
	}
	_, err := p.catalog.Flush()
	return err
}
