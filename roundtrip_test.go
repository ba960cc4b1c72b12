package infinicache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/wire"
)

// reader hides everything of a reader but Read.
type reader struct{ io.Reader }

var sizes = []int{0, 1, 1000, wire.BlockSize - 1, wire.BlockSize, 1<<20 + 1, 10<<20 + 1, 17<<20 + 77}

func TestEveryWayIn(t *testing.T) { inBothForms(t, everyWayIn) }

func everyWayIn(t *testing.T, form func(*infinicache.Config)) {
	ways := map[string]func(*infinicache.Client, string, []byte) (infinicache.Info, error){
		"PutBytes": func(c *infinicache.Client, key string, b []byte) (infinicache.Info, error) {
			return c.PutBytes(t.Context(), key, b)
		},
		"Put": func(c *infinicache.Client, key string, b []byte) (infinicache.Info, error) {
			return c.Put(t.Context(), key, reader{bytes.NewReader(b)}, int64(len(b)))
		},
		"Put of unknown size": func(c *infinicache.Client, key string, b []byte) (infinicache.Info, error) {
			return c.Put(t.Context(), key, reader{bytes.NewReader(b)}, -1)
		},
		"Writer": func(c *infinicache.Client, key string, b []byte) (infinicache.Info, error) {
			w := c.Writer(t.Context(), key)
			for part := range slices.Chunk(b, 100_000) {
				if _, err := w.Write(part); err != nil {
					return infinicache.Info{}, err
				}
			}
			err := w.Close()
			return w.Info(), err
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			_, c := start(t, form)
			for i, size := range sizes {
				key := fmt.Sprint(size)
				want := content(uint64(i), size)
				info, err := way(c, key, want)
				if err != nil || info.Size != int64(size) || info.Version == 0 || info.Key != key {
					t.Fatalf("store %d bytes = %+v, %v", size, info, err)
				}
				got, err := c.GetBytes(t.Context(), key)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("GetBytes of %d bytes: %d bytes, equal %v, error %v", size, len(got), bytes.Equal(got, want), err)
				}
			}
		})
	}
}

func TestEveryWayOut(t *testing.T) { inBothForms(t, everyWayOut) }

func everyWayOut(t *testing.T, form func(*infinicache.Config)) {
	p, c := start(t, form)
	ctx := t.Context()
	for i, size := range sizes {
		for _, shape := range [][2]int{{10, 2}, {1, 2}, {4, 0}} {
			if size > 2<<20 && shape[0] != 10 {
				continue
			}
			want := content(uint64(i), size)
			if _, err := c.PutBytes(ctx, "k", want, infinicache.WithShape(shape[0], shape[1])); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%d bytes in %v", size, shape)

			o, err := c.Get(ctx, "k")
			if err != nil {
				t.Fatalf("%s: Get: %v", what, err)
			}
			if s := o.Info().Shape; o.Info().Size != int64(size) || s.Data != shape[0] || s.Parity != shape[1] {
				t.Errorf("%s: Info = %+v", what, o.Info())
			}
			got, err := io.ReadAll(reader{o})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: Read: equal %v, error %v", what, bytes.Equal(got, want), err)
			}
			some := make([]byte, 100_000)
			for _, off := range []int{0, 1, size / 2, size - 1, size} {
				off = min(max(off, 0), size)
				n, err := o.ReadAt(some, int64(off))
				exp := want[off:min(off+len(some), size)]
				if !bytes.Equal(some[:n], exp) || (n < len(some)) != (err == io.EOF) {
					t.Errorf("%s: ReadAt(%d) = %d, %v", what, off, n, err)
				}
			}
			o.Close()

			if o, err = c.Get(ctx, "k", infinicache.WithPolicy(infinicache.All)); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			n, err := io.CopyN(&b, o, 10) // Read, then WriteTo
			m, err2 := io.Copy(&b, o)
			if err = errors.Join(err, err2); n+m != int64(size) || !bytes.Equal(b.Bytes(), want) || err != nil && size >= 10 {
				t.Errorf("%s: WriteTo = %d after %d, equal %v, error %v", what, m, n, bytes.Equal(b.Bytes(), want), err)
			}
			o.Close()

			dst := make([]byte, size+3)
			k, err := c.GetInto(ctx, "k", dst)
			if err != nil || k != size || !bytes.Equal(dst[:k], want) {
				t.Errorf("%s: GetInto = %d, %v", what, k, err)
			}
			if size > 0 {
				if k, err = c.GetInto(ctx, "k", dst[:size-1]); k != 0 || !errors.Is(err, io.ErrShortBuffer) {
					t.Errorf("%s: GetInto of a short buffer = %d, %v", what, k, err)
				}
			}
		}
	}
	p.wait(func() bool { return p.counts[wire.TypeOpen] == p.counts[wire.TypeClose] })
}

func TestRanges(t *testing.T) { inBothForms(t, ranges) }

func ranges(t *testing.T, form func(*infinicache.Config)) {
	_, c := start(t, form)
	const size = 23<<20 + 77
	want := content(9, size)
	if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{0, 1}, {0, -1}, {size - 1, 5}, {size, 1}, {size + 9, -1}, {5, 0}, {10<<20 - 7, 14}, {3 << 20, 15 << 20}, {1, 1<<62 + 5}} {
		lo := min(r[0], size)
		hi := int64(size)
		if r[1] >= 0 && r[1] < size-lo {
			hi = lo + r[1]
		}
		got, err := c.GetBytes(t.Context(), "k", infinicache.Range(r[0], r[1]))
		if err != nil || !bytes.Equal(got, want[lo:hi]) {
			t.Errorf("GetBytes(%v) = %d bytes, %v", r, len(got), err)
		}
		o, err := c.Get(t.Context(), "k", infinicache.Range(r[0], r[1]))
		if err != nil {
			t.Errorf("Get(%v): %v", r, err)
			continue
		}
		if got, err = io.ReadAll(o); err != nil || !bytes.Equal(got, want[lo:hi]) {
			t.Errorf("ReadAll(%v) = %d bytes, %v", r, len(got), err)
		}
		o.Close()
	}
}

func TestStatAndDelete(t *testing.T) {
	_, c := start(t, nil)
	ctx := t.Context()
	if _, err := c.Stat(ctx, "k"); !errors.Is(err, infinicache.ErrNotFound) || infinicache.MissCause(err) != "never-stored" {
		t.Errorf("Stat of nothing: %v, cause %q", err, infinicache.MissCause(err))
	}
	put, err := c.PutBytes(ctx, "k", []byte("value"), infinicache.WithTTL(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Stat(ctx, "k")
	if err != nil || got.Version != put.Version || got.Size != 5 || got.Stored.IsZero() {
		t.Errorf("Stat = %+v, %v", got, err)
	}
	if ttl := got.TTL(); ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("TTL = %v", ttl)
	}
	if _, err := c.PutBytes(ctx, "k", []byte("other"), infinicache.KeepTTL()); err != nil {
		t.Fatal(err)
	}
	if got, _ = c.Stat(ctx, "k"); got.TTL() <= 59*time.Minute || got.Version <= put.Version {
		t.Errorf("after KeepTTL: %+v", got)
	}
	for _, want := range []bool{true, false} {
		if existed, err := c.Delete(ctx, "k"); existed != want || err != nil {
			t.Errorf("Delete = %v, %v, want %v", existed, err, want)
		}
	}
	if _, err := c.Get(ctx, "k"); !errors.Is(err, infinicache.ErrNotFound) {
		t.Errorf("Get of nothing: %v", err)
	}
}

func TestConditions(t *testing.T) {
	_, c := start(t, nil)
	ctx := t.Context()
	for _, step := range []struct {
		value string
		opt   infinicache.PutOption
		want  error
		now   string
	}{
		{"a", infinicache.IfPresent(), infinicache.ErrCondition, ""},
		{"b", infinicache.IfAbsent(), nil, "b"},
		{"c", infinicache.IfAbsent(), infinicache.ErrCondition, "b"},
		{"d", infinicache.IfPresent(), nil, "d"},
		{"e", infinicache.WithExpiry(time.Now().Add(-time.Second)), nil, ""},
	} {
		_, err := c.PutBytes(ctx, "k", []byte(step.value), step.opt)
		if !errors.Is(err, step.want) {
			t.Errorf("put %s: %v, want %v", step.value, err, step.want)
		}
		if got, err := c.GetBytes(ctx, "k"); string(got) != step.now {
			t.Errorf("after %s: %q, %v, want %q", step.value, got, err, step.now)
		}
	}
}

func TestArguments(t *testing.T) {
	_, c := start(t, nil)
	ctx := t.Context()
	put := func(key string, opts ...infinicache.PutOption) error {
		_, err := c.PutBytes(ctx, key, []byte("x"), opts...)
		return err
	}
	get := func(key string, opts ...infinicache.GetOption) error {
		_, err := c.GetBytes(ctx, key, opts...)
		return err
	}
	size := func(n int64) error {
		_, err := c.Put(ctx, "k", strings.NewReader("abc"), n)
		return err
	}
	long := strings.Repeat("k", wire.MaxKey)
	for what, test := range map[string]struct{ got, want error }{
		"empty key":           {put(""), infinicache.ErrKey},
		"long key":            {get(long + "k"), infinicache.ErrKey},
		"longest key":         {put(long), nil},
		"get of longest key":  {get(long), nil},
		"TTL 0":               {put("k", infinicache.WithTTL(0)), infinicache.ErrRequest},
		"both conditions":     {put("k", infinicache.IfAbsent(), infinicache.IfPresent()), infinicache.ErrRequest},
		"keep and set":        {put("k", infinicache.KeepTTL(), infinicache.WithTTL(1)), infinicache.ErrRequest},
		"shape of nothing":    {put("k", infinicache.WithShape(0, 3)), infinicache.ErrRequest},
		"shape too wide":      {put("k", infinicache.WithShape(60, 5)), infinicache.ErrRequest},
		"negative offset":     {get("k", infinicache.Range(-1, 3)), infinicache.ErrRequest},
		"policy":              {get("k", infinicache.WithPolicy(7)), infinicache.ErrRequest},
		"size -2":             {size(-2), infinicache.ErrRequest},
		"body shorter":        {size(4), infinicache.ErrShort},
		"body longer, unread": {size(2), nil},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v, want %v", what, test.got, test.want)
		}
	}
}

func TestConfigComplaints(t *testing.T) {
	_, err := infinicache.New(infinicache.Config{
		Proxies: []string{"nowhere", ":7", "h:1"}, ReadPolicy: 5, DialTimeout: -1, StallTimeout: -1, StripeTimeout: -1, Memory: -1,
		EncryptionKey: make([]byte, 31),
	})
	for _, want := range []string{`Proxies[0] is "nowhere"`, `Proxies[1] is ":7"`, "ReadPolicy", "DialTimeout", "StallTimeout", "StripeTimeout", "Memory", "EncryptionKey has 31 bytes, want 32"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v\nwant it to name %s", err, want)
		}
	}
	if _, err := infinicache.New(infinicache.Config{}); err == nil || !strings.Contains(err.Error(), "Proxies is empty") {
		t.Errorf("New of nothing: %v", err)
	}
}

func TestBodyErrorsAreTheCallers(t *testing.T) { inBothForms(t, bodyErrorsAreTheCallers) }

func bodyErrorsAreTheCallers(t *testing.T, form func(*infinicache.Config)) {
	_, c := start(t, form)
	mine := errors.New("mine")
	for _, size := range []int64{-1, 20 << 20} {
		body := io.MultiReader(bytes.NewReader(make([]byte, 12<<20)), reader{errorReader{mine}})
		if _, err := c.Put(t.Context(), "k", body, size); !errors.Is(err, mine) {
			t.Errorf("Put of size %d: %v", size, err)
		}
	}
	w := c.Writer(t.Context(), "k")
	w.Write([]byte("abc"))
	w.Abort()
	w.Abort()
	if err := w.Close(); err == nil {
		t.Error("Close after Abort: no error")
	}
	if _, err := c.GetBytes(t.Context(), "k"); !errors.Is(err, infinicache.ErrNotFound) {
		t.Errorf("Get after failed puts: %v", err)
	}
	if _, err := c.PutBytes(t.Context(), "k", make([]byte, 5<<20)); err != nil {
		t.Fatal(err)
	}
	o, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.WriteTo(errorWriter{mine}); !errors.Is(err, mine) {
		t.Errorf("WriteTo: %v", err)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

type errorWriter struct{ err error }

func (w errorWriter) Write([]byte) (int, error) { return 0, w.err }

func TestConcurrentUse(t *testing.T) {
	p, c := start(t, func(cfg *infinicache.Config) { cfg.Memory = 8 << 20 })
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := range 8 {
				key := fmt.Sprint(g, i%3)
				want := content(uint64(g*100+i), (i%4)*700_000+i*1000)
				var err error
				if i%2 == 0 {
					_, err = c.PutBytes(t.Context(), key, want)
				} else {
					_, err = c.Put(t.Context(), key, reader{bytes.NewReader(want)}, -1)
				}
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				got, err := c.GetBytes(t.Context(), key)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("get: equal %v, %v", bytes.Equal(got, want), err)
				}
				o, err := c.Get(t.Context(), key)
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				if got, err = io.ReadAll(o); err != nil || !bytes.Equal(got, want) {
					t.Errorf("read: equal %v, %v", bytes.Equal(got, want), err)
				}
				o.Close()
			}
		})
	}
	wg.Wait()
	if p.linked() != 1 {
		t.Errorf("%d links, want one shared by all", p.linked())
	}
}

func TestObjectIsReadByManyAtOnce(t *testing.T) {
	_, c := start(t, nil)
	want := content(3, 13<<20)
	if _, err := c.PutBytes(t.Context(), "k", want); err != nil {
		t.Fatal(err)
	}
	o, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			part := make([]byte, 1<<20)
			if _, err := o.ReadAt(part, int64(i)<<21); err != nil || !bytes.Equal(part, want[i<<21:i<<21+1<<20]) {
				t.Errorf("ReadAt: %v", err)
			}
		})
	}
	got, err := io.ReadAll(o)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadAll: %v", err)
	}
	wg.Wait()
	for range 2 {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := o.Read(make([]byte, 1)); !errors.Is(err, infinicache.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := o.ReadAt(make([]byte, 1), 0); !errors.Is(err, infinicache.ErrClosed) {
		t.Errorf("ReadAt after Close: %v", err)
	}
}

func TestSeveralProxies(t *testing.T) {
	fakes := map[string]*fakeProxy{}
	_, c := start(t, func(cfg *infinicache.Config) {
		cfg.Proxies = []string{"a", "b", "c"}
		cfg.Dial, fakes = cluster(t, cfg.Proxies)
	})
	for i := range 60 {
		key := fmt.Sprint("key", i)
		if _, err := c.PutBytes(context.Background(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.GetBytes(t.Context(), key); string(got) != key {
			t.Errorf("Get(%s) = %q, %v", key, got, err)
		}
	}
	total := 0
	for name, p := range fakes {
		if p.stored() == 0 {
			t.Errorf("proxy %s has no keys", name)
		}
		total += p.stored()
	}
	if total != 60 {
		t.Errorf("%d objects in all, want 60", total)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	p, c := start(t, func(cfg *infinicache.Config) { cfg.Memory = 1 << 20 }) // a stripe needs more
	want := content(5, 25<<20)
	if _, err := c.Put(t.Context(), "k", bytes.NewReader(want), int64(len(want))); err != nil {
		t.Fatal(err)
	}
	o, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if n := c.MemoryInUse(); n > 16<<20 {
		t.Errorf("an open object holds %d bytes", n)
	}

	// While it holds the memory others wait, and their contexts count.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get without memory: %v", err)
	}
	// Reads into the caller's memory do not.
	if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("GetBytes: %v", err)
	}
	if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, want) {
		t.Errorf("ReadAll: %v", err)
	}
	o.Close()
	if n := c.MemoryInUse(); n != 0 {
		t.Errorf("%d bytes of memory are still taken", n)
	}
	p.wait(func() bool { return p.counts[wire.TypeClose] == p.counts[wire.TypeOpen] })
}
