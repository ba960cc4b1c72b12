package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/simcache"
	"github.com/infinicache/infinicache/internal/wire"
)

func content(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// bubble runs a test against a cache in virtual time. At its end nothing of the
// proxy may be left under way.
func bubble(t *testing.T, cfg simcache.Config, test func(t *testing.T, w *simcache.Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := simcache.New(t, cfg)
		test(t, w)
		time.Sleep(time.Minute) // stalled links are given up
		synctest.Wait()
		if !w.Proxy.RelayIdle() {
			t.Error("part of the relay budget is still taken")
		}
		s := w.Proxy.Status()
		if s.Pinned != 0 || s.Staged != 0 || s.Unexplained != 0 {
			t.Errorf("%d pins, %d staged versions, %d misses unexplained", s.Pinned, s.Staged, s.Unexplained)
		}
		for _, n := range s.Nodes {
			if n.Reserved != 0 || n.InFlight != 0 || n.Queued != 0 || n.Held < 0 || n.Dead < 0 {
				t.Errorf("node %d: %d reserved, %d in flight, %d queued, %d held, %d dead", n.Node, n.Reserved, n.InFlight, n.Queued, n.Held, n.Dead)
			}
		}
	})
}

// raw is a client that speaks in frames.
type raw struct {
	t  *testing.T
	nc net.Conn
}

func dial(t *testing.T, w *simcache.Cache, host string) *raw {
	t.Helper()
	nc, err := w.Net.Dial(t.Context(), host, simcache.ClientAddr)
	if err != nil {
		t.Fatal(err)
	}
	c := &raw{t, nc}
	preface := wire.Preface(wire.RoleClient)
	c.write(preface[:])
	if _, err := io.ReadFull(nc, preface[:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return c
}

// write does not mind a link that has ended: reading shows it.
func (c *raw) write(b []byte) { _, _ = c.nc.Write(b) }

func (c *raw) send(t wire.Type, stream uint32, m wire.Message) {
	c.write(wire.AppendFrame(nil, t, 0, stream, m))
}

func (c *raw) block(stream uint32, b wire.Block, body []byte) {
	var head [wire.HeaderSize + wire.BlockMetaSize]byte
	wire.Header{Type: wire.TypeBlock, Stream: stream, Meta: wire.BlockMetaSize, Body: uint32(len(body))}.Put(head[:])
	b.Put(head[wire.HeaderSize:])
	c.write(append(head[:], body...))
}

type frame struct {
	wire.Header
	meta, body []byte
}

// next reads a frame; its type is 0 at the end of the link, or after a while.
func (c *raw) next() frame {
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	var head [wire.HeaderSize]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return frame{}
	}
	h, err := wire.ParseHeader(head[:])
	if err != nil {
		c.t.Error(err)
		return frame{}
	}
	f := frame{h, make([]byte, h.Meta), make([]byte, h.Body)}
	if _, err := io.ReadFull(c.nc, f.meta); err != nil {
		return frame{}
	}
	if _, err := io.ReadFull(c.nc, f.body); err != nil {
		return frame{}
	}
	return f
}

// want skips frames until one of a type; it fails the test if there is none.
func (c *raw) want(t wire.Type, m wire.Message) frame {
	c.t.Helper()
	for {
		f := c.next()
		switch f.Type {
		case t:
			if m != nil {
				if err := m.Decode(f.meta); err != nil {
					c.t.Fatal(err)
				}
			}
			return f
		case 0:
			c.t.Fatalf("the link ended, or is silent, before %v", t)
		}
	}
}

// open opens a key on a stream.
func (c *raw) open(stream uint32, key string) wire.Opened {
	c.t.Helper()
	var m wire.Opened
	c.send(wire.TypeOpen, stream, &wire.Open{Key: key})
	c.want(wire.TypeOpened, &m)
	return m
}

// put begins a PUT of size bytes on a stream.
func (c *raw) put(stream uint32, key string, size int64) wire.Placed {
	c.t.Helper()
	var m wire.Placed
	c.send(wire.TypePut, stream, &wire.Put{Key: key, Size: size})
	c.want(wire.TypePlaced, &m)
	return m
}

func mustPut(t *testing.T, c *infinicache.Client, key string, body []byte) {
	t.Helper()
	if _, err := c.PutBytes(t.Context(), key, body); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func mustGet(t *testing.T, c *infinicache.Client, key string, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("no answer for 20 s"))
	defer cancel()
	got, err := c.GetBytes(ctx, key)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("get %s: %d bytes, equal %v, error %v", key, len(got), bytes.Equal(got, want), err)
	}
}
