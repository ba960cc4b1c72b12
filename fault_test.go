package infinicache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/wire"
)

// mustPut stores a value that content makes.
func mustPut(t testing.TB, c *infinicache.Client, key string, size int, opts ...infinicache.PutOption) []byte {
	t.Helper()
	b := content(uint64(size), size)
	if _, err := c.PutBytes(t.Context(), key, b, opts...); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDegradedReads(t *testing.T) { inBothForms(t, degradedReads) }

func degradedReads(t *testing.T, form func(*infinicache.Config)) {
	p, c := start(t, form)
	want := mustPut(t, c, "k", 5<<20-4096, infinicache.WithShape(4, 2)) // five blocks a chunk
	one := func(s uint32, chunk uint16) bool { return chunk == uint16(s)%6 || chunk == uint16(s+3)%6 }
	for name, f := range map[string]fakeFaults{
		"two chunks not held": {end: func(s uint32, chunk uint16) error {
			if one(s, chunk) {
				return wire.ErrNotHeld
			}
			return nil
		}},
		"flipped bits": {block: func(_ *fakeLink, b *wire.Block, body *[]byte) bool {
			if one(b.Stripe, b.Chunk) && b.Index == 1 {
				*body = bytes.Clone(*body)
				(*body)[7] ^= 1
			}
			return true
		}},
		"blocks out of order": {block: func(_ *fakeLink, b *wire.Block, body *[]byte) bool {
			if one(b.Stripe, b.Chunk) {
				b.Index ^= 1
			}
			return true
		}},
		"short blocks": {block: func(_ *fakeLink, b *wire.Block, body *[]byte) bool {
			if one(b.Stripe, b.Chunk) {
				*body = (*body)[:len(*body)-1]
			}
			return true
		}},
		"chunks that never come": {block: func(_ *fakeLink, b *wire.Block, body *[]byte) bool { return !one(b.Stripe, b.Chunk) }},
	} {
		t.Run(name, func(t *testing.T) {
			p.set(f)
			for _, policy := range []infinicache.ReadPolicy{infinicache.Hedged, infinicache.All} {
				got, err := c.GetBytes(t.Context(), "k", infinicache.WithPolicy(policy))
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("policy %d: equal %v, %v", policy, bytes.Equal(got, want), err)
				}
			}
		})
	}
}

func TestLossIsAMissWithACause(t *testing.T) {
	p, c := start(t, nil)
	mustPut(t, c, "k", 5<<20, infinicache.WithShape(4, 2))
	for _, test := range []struct {
		err   error
		cause string
	}{
		{wire.ErrNotHeld, "lost"}, {wire.ErrLost, "lost"}, {wire.ErrCorrupt, "lost"},
		{wire.ErrUnheard, "unheard"}, {wire.ErrBreaker, "breaker"}, {wire.ErrTimeout, "slow"},
	} {
		p.set(fakeFaults{end: func(_ uint32, chunk uint16) error {
			if chunk < 3 {
				return test.err
			}
			return nil
		}})
		before := p.closed(wire.CodeOK)
		_, err := c.Get(t.Context(), "k")
		_, err2 := c.GetBytes(t.Context(), "k")
		for _, err := range []error{err, err2} {
			if !errors.Is(err, infinicache.ErrNotFound) || infinicache.MissCause(err) != test.cause {
				t.Errorf("chunks end with %v: %v, cause %q, want %q", test.err, err, infinicache.MissCause(err), test.cause)
			}
		}
		p.wait(func() bool { return p.counts[wire.TypeClose] == p.counts[wire.TypeOpen] })
		if p.closed(wire.CodeOK) != before {
			t.Errorf("chunks end with %v: the proxy was told that the reads went well", test.err)
		}
	}
	p.set(fakeFaults{end: func(uint32, uint16) error { return wire.ErrUnavailable }})
	if _, err := c.Get(t.Context(), "k"); errors.Is(err, infinicache.ErrNotFound) || !errors.Is(err, infinicache.ErrUnavailable) {
		t.Errorf("chunks unavailable: %v", err)
	}
}

func TestLossInMidStreamIsNoMiss(t *testing.T) {
	p, c := start(t, nil)
	want := mustPut(t, c, "k", 25<<20)
	p.set(fakeFaults{end: func(s uint32, chunk uint16) error {
		if s == 1 {
			return wire.ErrLost
		}
		return nil
	}})
	o, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if !errors.Is(err, infinicache.ErrLost) || errors.Is(err, infinicache.ErrNotFound) || !bytes.Equal(got, want[:10<<20]) {
		t.Errorf("ReadAll = %d bytes, %v", len(got), err)
	}
}

// cutOnce cuts the link when block number n of all is to be sent.
func cutOnce(p *fakeProxy, n int) *atomic.Int64 {
	var sent, cuts atomic.Int64
	p.set(fakeFaults{block: func(l *fakeLink, _ *wire.Block, _ *[]byte) bool {
		if sent.Add(1) == int64(n) {
			cuts.Add(1)
			l.conn.Close(nil)
		}
		return true
	}})
	return &cuts
}

func TestReadsGoOnOverANewLink(t *testing.T) { inBothForms(t, readsGoOnOverANewLink) }

func readsGoOnOverANewLink(t *testing.T, form func(*infinicache.Config)) {
	for _, at := range []int{1, 80} {
		p, c := start(t, form)
		want := mustPut(t, c, "k", 25<<20)
		cuts := cutOnce(p, at)
		got, err := c.GetBytes(t.Context(), "k")
		if err != nil || !bytes.Equal(got, want) || cuts.Load() != 1 {
			t.Errorf("GetBytes, cut at block %d: equal %v, %v, %d cuts", at, bytes.Equal(got, want), err, cuts.Load())
		}
		cuts = cutOnce(p, at)
		o, err := c.Get(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		got, err = io.ReadAll(o)
		if err != nil || !bytes.Equal(got, want) || cuts.Load() != 1 {
			t.Errorf("Get, cut at block %d: equal %v, %v, %d cuts", at, bytes.Equal(got, want), err, cuts.Load())
		}
		o.Close()
	}
}

func TestVersionsAreNeverMixed(t *testing.T) {
	p, c := start(t, nil)
	want := mustPut(t, c, "k", 25<<20)
	o, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(o, head); err != nil || !bytes.Equal(head, want[:1000]) {
		t.Fatal(err)
	}
	p.bump("k", func(b []byte) { b[0]++ })
	p.cut()
	got, err := io.ReadAll(o)
	if !errors.Is(err, infinicache.ErrChanged) || !bytes.Equal(got, want[1000:1000+len(got)]) {
		t.Errorf("ReadAll = %d bytes, %v", len(got), err)
	}

	// What gave nothing yet reads the new version.
	first := true
	p.set(fakeFaults{block: func(l *fakeLink, b *wire.Block, _ *[]byte) bool {
		if b.Stripe == 1 && first {
			first = false
			l.conn.Close(nil)
			go p.bump("k", func(b []byte) { clear(b) })
		}
		return true
	}})
	fresh, err := c.GetBytes(t.Context(), "k")
	if err != nil || len(fresh) != len(want) {
		t.Errorf("GetBytes = %d bytes, %v", len(fresh), err)
	}
}

func TestPutsAreTriedAgainWhenTheyCanBe(t *testing.T) { inBothForms(t, putsAreTriedAgainWhenTheyCanBe) }

func putsAreTriedAgainWhenTheyCanBe(t *testing.T, form func(*infinicache.Config)) {
	p, c := start(t, form)
	body := content(1, 12<<20)
	cut := func() {
		first := true
		p.set(fakeFaults{frame: func(l *fakeLink, h wire.Header, _ []byte) (bool, error) {
			if h.Type == wire.TypeStripe && first {
				first = false
				return true, wire.ErrClosed
			}
			return false, nil
		}})
	}
	for name, put := range map[string]func() error{
		"bytes":  func() error { _, err := c.PutBytes(t.Context(), "k", body); return err },
		"seeker": func() error { _, err := c.Put(t.Context(), "k", bytes.NewReader(body), int64(len(body))); return err },
		"seeker of unknown size": func() error {
			_, err := c.Put(t.Context(), "k", bytes.NewReader(body), -1)
			return err
		},
	} {
		cut()
		if err := put(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: Get: %v", name, err)
		}
		c.Delete(t.Context(), "k")
	}
	cut()
	_, err := c.Put(t.Context(), "k", reader{bytes.NewReader(body)}, int64(len(body)))
	if !errors.Is(err, infinicache.ErrUnavailable) || errors.Is(err, infinicache.ErrClosed) {
		t.Errorf("plain reader: %v", err)
	}
}

func TestPutInDoubt(t *testing.T) { inBothForms(t, putInDoubt) }

func putInDoubt(t *testing.T, form func(*infinicache.Config)) {
	for _, committed := range []bool{true, false} {
		p, c := start(t, form)
		p.set(fakeFaults{frame: func(l *fakeLink, h wire.Header, meta []byte) (bool, error) {
			if h.Type != wire.TypeCommit {
				return false, nil
			}
			if committed {
				p.mu.Lock()
				u := l.puts[h.Stream]
				p.objects[u.msg.Key] = u.o
				p.mu.Unlock()
			}
			return true, wire.ErrClosed
		}})
		info, err := c.PutBytes(t.Context(), "k", []byte("value"))
		if committed && (err != nil || info.Size != 5) {
			t.Errorf("committed: %+v, %v", info, err)
		}
		if !committed && (!errors.Is(err, infinicache.ErrUnknown) || !errors.Is(err, infinicache.ErrUnavailable)) {
			t.Errorf("not committed: %v", err)
		}
		if p.counted(wire.TypePut) != 1 {
			t.Errorf("%d PUTs, want 1", p.counted(wire.TypePut))
		}
	}
}

func TestChunksAreSentAgain(t *testing.T) {
	p, c := start(t, nil)
	for _, window := range []uint32{0, wire.BlockSize} {
		p.set(fakeFaults{window: window, resend: func(s uint32, chunk uint16) bool { return (int(s)+int(chunk))%3 == 0 }})
		want := mustPut(t, c, "k", 17<<20)
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("window %d: equal %v, %v", window, bytes.Equal(got, want), err)
		}
		body := reader{bytes.NewReader(want)}
		if _, err := c.Put(t.Context(), "k", body, int64(len(want))); err != nil {
			t.Errorf("window %d: Put: %v", window, err)
		}
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("window %d: equal %v, %v", window, bytes.Equal(got, want), err)
		}
	}
}

func TestRefusedPuts(t *testing.T) {
	p, c := start(t, nil)
	for _, at := range []wire.Type{wire.TypePut, wire.TypeStripe, wire.TypeCommit} {
		for _, want := range []error{infinicache.ErrTooLarge, infinicache.ErrFull, infinicache.ErrCondition, infinicache.ErrUnavailable} {
			p.set(fakeFaults{frame: func(l *fakeLink, h wire.Header, _ []byte) (bool, error) {
				if h.Type != at {
					return false, nil
				}
				p.mu.Lock()
				delete(l.puts, h.Stream)
				p.mu.Unlock()
				l.done(h.Stream, want, 0)
				return true, nil
			}})
			before := p.counted(wire.TypePut)
			if _, err := c.PutBytes(t.Context(), "k", make([]byte, 6<<20)); !errors.Is(err, want) {
				t.Errorf("%v answered with %v: %v", at, want, err)
			}
			if n := p.counted(wire.TypePut) - before; n != 1 {
				t.Errorf("%v answered with %v: %d PUTs", at, want, n)
			}
		}
	}
	if n := c.MemoryInUse(); n != 0 {
		t.Errorf("%d bytes of memory are still taken", n)
	}
}

func TestBusyProxyIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := start(t, nil)
		mustPut(t, c, "k", 100)
		var refusals atomic.Int64
		p.set(fakeFaults{frame: func(l *fakeLink, h wire.Header, _ []byte) (bool, error) {
			if h.Type == wire.TypeClose || refusals.Add(-1) < 0 {
				return false, nil
			}
			l.done(h.Stream, wire.ErrBusy, 0)
			return true, nil
		}})
		for n, want := range map[int64]error{3: nil, 4: infinicache.ErrBusy} {
			refusals.Store(n)
			if _, err := c.GetBytes(t.Context(), "k"); !errors.Is(err, want) {
				t.Errorf("%d refusals: %v, want %v", n, err, want)
			}
		}
	})
}

func TestSayingGoodbye(t *testing.T) {
	p, c := start(t, nil)
	want := mustPut(t, c, "k", 100)
	first := true
	p.set(fakeFaults{frame: func(l *fakeLink, h wire.Header, _ []byte) (bool, error) {
		if h.Type == wire.TypeOpen && first {
			first = false
			l.done(0, wire.ErrUnavailable, 0)
			l.conn.Finish(nil)
			return true, nil
		}
		return false, nil
	}})
	if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Get = %v", err)
	}
	if p.linked() != 2 {
		t.Errorf("%d links, want 2", p.linked())
	}
}

func TestStreamNumbersAreUsedUp(t *testing.T) {
	p, c := start(t, nil)
	want := mustPut(t, c, "k", 100)
	c.UseUpStreams(3)
	for range 5 {
		if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get = %v", err)
		}
	}
	if p.linked() != 2 {
		t.Errorf("%d links, want 2", p.linked())
	}
}

func TestCancellation(t *testing.T) {
	mine := errors.New("mine")
	silent := func(kind wire.Type) fakeFaults {
		return fakeFaults{
			frame: func(l *fakeLink, h wire.Header, _ []byte) (bool, error) {
				if h.Type == wire.TypeStripe && kind == h.Type {
					delete(l.puts, h.Stream) // takes blocks and gives no credit
				}
				return h.Type == kind, nil
			},
		}
	}
	calls := map[string]func(context.Context, *infinicache.Client) error{
		"get": func(ctx context.Context, c *infinicache.Client) error {
			o, err := c.Get(ctx, "k")
			if err == nil {
				o.Close()
			}
			return err
		},
		"get into": func(ctx context.Context, c *infinicache.Client) error {
			_, err := c.GetInto(ctx, "k", make([]byte, 12<<20))
			return err
		},
		"stat":   func(ctx context.Context, c *infinicache.Client) error { _, err := c.Stat(ctx, "k"); return err },
		"delete": func(ctx context.Context, c *infinicache.Client) error { _, err := c.Delete(ctx, "k"); return err },
		"put": func(ctx context.Context, c *infinicache.Client) error {
			_, err := c.PutBytes(ctx, "k", make([]byte, 12<<20))
			return err
		},
		"writer": func(ctx context.Context, c *infinicache.Client) error {
			w := c.Writer(ctx, "k")
			w.Write(make([]byte, 12<<20))
			return w.Close()
		},
	}
	for _, test := range []struct {
		call         string
		silent, told wire.Type
	}{
		{"get", wire.TypeOpen, wire.TypeClose},
		{"get", wire.TypeRead, wire.TypeClose},
		{"get into", wire.TypeRead, wire.TypeCancel},
		{"stat", wire.TypeStat, wire.TypeCancel},
		{"delete", wire.TypeDelete, wire.TypeCancel},
		{"put", wire.TypePut, wire.TypeCancel},
		{"put", wire.TypeCommit, wire.TypeCancel},
		{"writer", wire.TypePut, wire.TypeCancel},
		{"writer", wire.TypeStripe, wire.TypeCancel},
	} {
		t.Run(fmt.Sprint(test.call, " ", test.silent), func(t *testing.T) {
			p, c := start(t, nil)
			mustPut(t, c, "k", 12<<20)
			p.set(silent(test.silent))
			before := p.counted(test.silent)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			errs := make(chan error)
			go func() { errs <- calls[test.call](ctx, c) }()
			p.wait(func() bool { return p.counts[test.silent] > before })
			told := p.counted(test.told)
			cancel(mine)
			if err := <-errs; !errors.Is(err, mine) {
				t.Errorf("error %v, want the cause", err)
			}
			p.wait(func() bool { return p.counts[test.told] > told })
			if n := p.closed(wire.CodeOK); n > 0 {
				t.Errorf("%d CLOSE with %v", n, wire.CodeOK)
			}
			p.set(fakeFaults{})
			if _, err := c.Stat(t.Context(), "k"); err != nil || p.linked() != 1 {
				t.Errorf("afterwards: %v, %d links", err, p.linked())
			}
			if n := c.MemoryInUse(); n != 0 {
				t.Errorf("%d bytes of memory are still taken", n)
			}
		})
	}
}

func TestCloseEndsEverything(t *testing.T) {
	p, c := start(t, nil)
	mustPut(t, c, "k", 25<<20)
	o, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	p.set(fakeFaults{frame: func(_ *fakeLink, h wire.Header, _ []byte) (bool, error) { return true, nil }})
	before := p.counted(wire.TypeOpen)
	errs := make(chan error)
	go func() { _, err := c.GetBytes(context.Background(), "k"); errs <- err }()
	go func() {
		w := c.Writer(context.Background(), "k")
		w.Write([]byte("x"))
		errs <- func() error { c.Stat(context.Background(), "k"); return w.Close() }()
	}()
	p.wait(func() bool { return p.counts[wire.TypeOpen] > before && p.counts[wire.TypeStat] > 0 })
	c.Close()
	c.Close()
	for range 2 {
		if err := <-errs; !errors.Is(err, infinicache.ErrClosed) {
			t.Errorf("call under way: %v", err)
		}
	}
	if _, err := io.ReadAll(o); !errors.Is(err, infinicache.ErrClosed) {
		t.Errorf("open object: %v", err)
	}
	o.Close()
	if _, err := c.Get(t.Context(), "k"); !errors.Is(err, infinicache.ErrClosed) {
		t.Errorf("Get of a closed client: %v", err)
	}
	if err := c.Writer(t.Context(), "k").Close(); !errors.Is(err, infinicache.ErrClosed) {
		t.Errorf("Writer of a closed client: %v", err)
	}
	noLeak(t)
}

func TestSilentProxyIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, c := start(t, nil)
		want := mustPut(t, c, "k", 100)
		time.Sleep(time.Hour) // an idle link may be silent as long as it likes
		first := true
		p.set(fakeFaults{frame: func(*fakeLink, wire.Header, []byte) (bool, error) {
			was := first
			first = false
			return was, nil
		}})
		began := time.Now()
		got, err := c.GetBytes(t.Context(), "k")
		if err != nil || !bytes.Equal(got, want) || p.linked() != 2 {
			t.Errorf("Get = %v over %d links", err, p.linked())
		}
		if d := time.Since(began); d < 20*time.Second || d > 45*time.Second {
			t.Errorf("it took %v", d)
		}

		// A stripe that does not come within its time is a slow miss.
		p.set(fakeFaults{frame: func(_ *fakeLink, h wire.Header, _ []byte) (bool, error) { return h.Type == wire.TypeRead, nil }})
		began = time.Now()
		if _, err := c.Get(t.Context(), "k"); infinicache.MissCause(err) != "slow" {
			t.Errorf("Get = %v", err)
		}
		if d := time.Since(began); d < 9*time.Second || d > 12*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
