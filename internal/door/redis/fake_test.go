package redis

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// fakeCache is a Cache in memory, whose faults a test sets before it serves.
type fakeCache struct {
	max int64

	openErr error // of Open, Stat and SetExpiry
	putErr  error // of Put, before it reads
	readErr error // of WriteRange, after readOK bytes
	readOK  int64
	block   int // bytes per Write of WriteRange; 0 means 256 KiB

	putting chan string // gets the key when Put begins, if not nil

	// gaps has what others do, once, just after Put or Open took effect and before
	// it returns, or just before SetExpiry takes effect.
	gaps map[string]func()

	mu      sync.Mutex
	version uint64
	objects map[string]fakeObject
	pins    int
	aborted int // Puts whose body had an error
}

type fakeObject struct {
	info object.Info
	data []byte
}

func newFake() *fakeCache {
	return &fakeCache{max: 64 << 20, objects: make(map[string]fakeObject)}
}

// gap lets happen what gaps has for a method.
func (f *fakeCache) gap(method string) {
	f.mu.Lock()
	happen := f.gaps[method]
	delete(f.gaps, method)
	f.mu.Unlock()
	if happen != nil {
		happen()
	}
}

// standing returns the object under key unless it expired. Callers hold mu.
func (f *fakeCache) standing(key string) (fakeObject, bool) {
	o, ok := f.objects[key]
	if ok && !o.info.Expires.IsZero() && !o.info.Expires.After(time.Now()) {
		delete(f.objects, key)
		return fakeObject{}, false
	}
	return o, ok
}

func (f *fakeCache) pin(o fakeObject) object.Reader {
	f.pins++
	return &fakeReader{f: f, o: o}
}

func (f *fakeCache) Open(_ context.Context, key string) (object.Reader, error) {
	if f.openErr != nil {
		return nil, f.openErr
	}
	defer f.gap("Open")
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.standing(key)
	if !ok {
		return nil, wire.Miss(wire.CauseNeverStored)
	}
	return f.pin(o), nil
}

func (f *fakeCache) Stat(_ context.Context, key string) (object.Info, error) {
	if f.openErr != nil {
		return object.Info{}, f.openErr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.standing(key)
	if !ok {
		return object.Info{}, wire.Miss(wire.CauseNeverStored)
	}
	return o.info, nil
}

func (f *fakeCache) unmet(key string, opts object.PutOptions) (object.PutResult, bool) {
	o, ok := f.standing(key)
	if opts.Condition == object.IfAbsent && ok || opts.Condition == object.IfPresent && !ok {
		var res object.PutResult
		if ok && opts.WantReplaced {
			res.Replaced = f.pin(o)
		}
		return res, true
	}
	return object.PutResult{}, false
}

func (f *fakeCache) Put(ctx context.Context, key string, size int64, body io.Reader, opts object.PutOptions) (object.PutResult, error) {
	if f.putting != nil {
		select {
		case f.putting <- key:
		case <-ctx.Done():
			return object.PutResult{}, context.Cause(ctx)
		}
	}
	if f.putErr != nil {
		return object.PutResult{}, f.putErr
	}
	f.mu.Lock()
	res, unmet := f.unmet(key, opts)
	f.mu.Unlock()
	if unmet {
		return res, nil
	}
	data := make([]byte, size)
	_, err := io.ReadFull(body, data)
	if err == nil && opts.Finish != nil {
		err = opts.Finish(&opts)
	}
	if err != nil {
		f.mu.Lock()
		f.aborted++
		f.mu.Unlock()
		return object.PutResult{}, err
	}
	defer f.gap("Put")
	f.mu.Lock()
	defer f.mu.Unlock()
	if res, unmet := f.unmet(key, opts); unmet {
		return res, nil
	}
	old, existed := f.standing(key)
	f.version++
	info := object.Info{Key: key, Version: f.version, Size: size, Expires: opts.Expires, Stored: time.Now()}
	if opts.KeepExpiry {
		info.Expires = old.info.Expires
	}
	f.objects[key] = fakeObject{info: info, data: data}
	res = object.PutResult{Stored: true, Info: info}
	if existed && opts.WantReplaced {
		res.Replaced = f.pin(old)
	}
	return res, nil
}

func (f *fakeCache) Delete(_ context.Context, key string, take bool) (bool, object.Reader, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.standing(key)
	delete(f.objects, key)
	if ok && take {
		return true, f.pin(o), nil
	}
	return ok, nil, nil
}

func (f *fakeCache) SetExpiry(_ context.Context, key string, decide func(object.Info) (time.Time, bool)) (found, changed bool, err error) {
	if f.openErr != nil {
		return false, false, f.openErr
	}
	f.gap("SetExpiry")
	f.mu.Lock()
	defer f.mu.Unlock()
	o, found := f.standing(key)
	if !found {
		return false, false, nil
	}
	at, change := decide(o.info)
	if change {
		o.info.Expires = at
		f.objects[key] = o
		f.standing(key) // not if at is over
	}
	return true, change, nil
}

func (f *fakeCache) Scan(_ context.Context, cursor uint64, count int) ([]string, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var keys []string
	for key := range f.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	from := min(cursor, uint64(len(keys)))
	to := min(from+uint64(count), uint64(len(keys)))
	next := to
	if to == uint64(len(keys)) {
		next = 0
	}
	return keys[from:to], next, nil
}

func (f *fakeCache) Len(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return int64(len(f.objects)), nil
}

func (f *fakeCache) Flush(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.objects)
	return nil
}

func (f *fakeCache) MaxObject() int64 { return f.max }

// pinned is how many readers are open.
func (f *fakeCache) pinned() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pins
}

func (f *fakeCache) value(key string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, ok := f.standing(key)
	return string(o.data), ok
}

type fakeReader struct {
	f      *fakeCache
	o      fakeObject
	closed bool
}

// Info takes the lock that SetExpiry decides under, as a catalog's pins do.
func (r *fakeReader) Info() object.Info {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	return r.o.info
}

func (r *fakeReader) WriteRange(_ context.Context, w io.Writer, off, n int64) (int64, error) {
	data := r.o.data[off:]
	if n >= 0 {
		data = data[:n]
	}
	fault := error(nil)
	if r.f.readErr != nil {
		data, fault = data[:min(r.f.readOK, int64(len(data)))], r.f.readErr
	}
	block := r.f.block
	if block == 0 {
		block = 256 << 10
	}
	written := int64(0)
	for b := range slices.Chunk(data, block) {
		m, err := w.Write(b)
		written += int64(m)
		if err != nil {
			return written, err
		}
	}
	return written, fault
}

func (r *fakeReader) Close() error {
	if !r.closed {
		r.closed = true
		r.f.mu.Lock()
		r.f.pins--
		r.f.mu.Unlock()
	}
	return nil
}
