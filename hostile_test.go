package infinicache_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/wire"
)

// TestHostileProxy has a proxy say things that have no place. A call gives an
// error, or the right answer where another try did; never a wrong byte.
func TestHostileProxy(t *testing.T) {
	block := func(l *fakeLink, stream uint32, b wire.Block) {
		l.conn.SendBlock(stream, b, make([]byte, 100), nil, nil)
	}
	say := func(kind wire.Type, code wire.Code, m wire.Message) func(*fakeLink, uint32) {
		return func(l *fakeLink, stream uint32) { l.conn.Send(kind, code, stream, m) }
	}
	record := wire.Record{Key: "k", Version: 7, Size: 1000, Data: 1, Stripe: 1000}
	for name, test := range map[string]struct {
		at   wire.Type // in answer to this
		say  func(l *fakeLink, stream uint32)
		want error // of a call; nil: any error, or none
	}{
		"opened another key":      {wire.TypeOpen, say(wire.TypeOpened, 0, &wire.Opened{Record: wire.Record{Key: "other", Version: 1, Size: 1, Data: 1, Stripe: 1}}), infinicache.ErrProtocol},
		"opened twice":            {wire.TypeRead, func(l *fakeLink, s uint32) { l.conn.Send(wire.TypeOpened, 0, s, &wire.Opened{Record: record}) }, infinicache.ErrProtocol},
		"opened a huge object":    {wire.TypeOpen, say(wire.TypeOpened, 0, &wire.Opened{Record: wire.Record{Key: "k", Version: 1, Size: wire.MaxObject, Data: 10, Parity: 2, Stripe: 10 << 20}}), nil},
		"opened without an error": {wire.TypeOpen, say(wire.TypeDone, 0, &wire.Done{}), infinicache.ErrProtocol},
		"placed a read":           {wire.TypeOpen, say(wire.TypePlaced, 0, &wire.Placed{Version: 1, Data: 1, Stripe: 1, Window: 1 << 20}), infinicache.ErrProtocol},
		"garbled":                 {wire.TypeOpen, say(wire.TypeOpened, 0, &wire.Credit{Bytes: 5}), infinicache.ErrProtocol},
		"a node's frame":          {wire.TypeOpen, say(wire.TypeWelcome, 0, nil), infinicache.ErrProtocol},
		"block of no chunk":       {wire.TypeRead, func(l *fakeLink, s uint32) { block(l, s, wire.Block{Chunk: 65535}) }, infinicache.ErrProtocol},
		"block not asked for":     {wire.TypeRead, func(l *fakeLink, s uint32) { block(l, s, wire.Block{Chunk: 5}) }, infinicache.ErrProtocol},
		"block of another stripe": {wire.TypeRead, func(l *fakeLink, s uint32) { block(l, s, wire.Block{Stripe: 9}) }, infinicache.ErrProtocol},
		"block on an OPEN":        {wire.TypeOpen, func(l *fakeLink, s uint32) { block(l, s, wire.Block{}) }, infinicache.ErrProtocol},
		"block on stream 0":       {wire.TypeOpen, func(l *fakeLink, s uint32) { block(l, 0, wire.Block{}); l.done(s, wire.ErrInternal, 0) }, infinicache.ErrProtocol},
		"block never begun":       {wire.TypeOpen, func(l *fakeLink, s uint32) { block(l, s+9, wire.Block{}) }, infinicache.ErrProtocol},
		"frame never begun":       {wire.TypeOpen, func(l *fakeLink, s uint32) { l.done(s+9, nil, 0) }, infinicache.ErrProtocol},
		"frame on stream 0":       {wire.TypeOpen, func(l *fakeLink, s uint32) { l.conn.Send(wire.TypeCredit, 0, 0, &wire.Credit{}) }, infinicache.ErrProtocol},
		"end of another chunk":    {wire.TypeRead, say(wire.TypeEnd, 0, &wire.Done{Chunk: 40}), infinicache.ErrProtocol},
		"end of no chunk":         {wire.TypeRead, say(wire.TypeEnd, 0, &wire.Done{Chunk: 65535}), infinicache.ErrProtocol},
		"end without blocks":      {wire.TypeRead, func(l *fakeLink, s uint32) { say(wire.TypeEnd, 0, &wire.Done{})(l, s) }, infinicache.ErrNotFound},
		"read refused":            {wire.TypeRead, say(wire.TypeDone, wire.CodeRequest, &wire.Done{}), infinicache.ErrUnavailable},
		"read done well":          {wire.TypeRead, say(wire.TypeDone, 0, &wire.Done{}), infinicache.ErrProtocol},
		"credit before a plan":    {wire.TypePut, say(wire.TypeCredit, 0, &wire.Credit{Bytes: 1}), infinicache.ErrProtocol},
		"plan with a huge stripe": {wire.TypePut, say(wire.TypePlaced, 0, &wire.Placed{Version: 1, Data: 60, Stripe: 60 * wire.MaxChunkSize, Window: 1 << 20}), nil},
		"plan twice":              {wire.TypeStripe, say(wire.TypePlaced, 0, &wire.Placed{Version: 1, Data: 1, Stripe: 1, Window: 1 << 20}), infinicache.ErrProtocol},
		"credit for nothing":      {wire.TypeStripe, say(wire.TypeCredit, 0, &wire.Credit{Bytes: 1 << 31}), infinicache.ErrProtocol},
		"stored another stripe":   {wire.TypeStripe, say(wire.TypeStored, 0, &wire.Place{Stripe: 77}), infinicache.ErrProtocol},
		"resend of no chunk":      {wire.TypeStripe, say(wire.TypeResend, 0, &wire.Place{Chunk: 64}), infinicache.ErrProtocol},
		"committed too early":     {wire.TypeStripe, say(wire.TypeDone, 0, &wire.Done{Value: 1}), infinicache.ErrProtocol},
		"deleted is opened":       {wire.TypeDelete, say(wire.TypeOpened, 0, &wire.Opened{Record: record}), infinicache.ErrProtocol},
		"resends without end": {wire.TypeStripe, func(l *fakeLink, s uint32) {
			for range 5000 {
				l.conn.Send(wire.TypeResend, 0, s, &wire.Place{})
			}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, c := start(t, func(cfg *infinicache.Config) {
					cfg.StripeTimeout, cfg.StallTimeout, cfg.Retries = 300*time.Millisecond, 600*time.Millisecond, 1
				})
				p.forgive() // its lies make a client err
				want := mustPut(t, c, "k", 300_000, infinicache.WithShape(1, 0))
				p.set(fakeFaults{frame: func(l *fakeLink, h wire.Header, _ []byte) (bool, error) {
					if h.Type != test.at {
						return false, nil
					}
					if h.Type == wire.TypeStripe {
						delete(l.puts, h.Stream)
					}
					test.say(l, h.Stream)
					return true, nil
				}})
				var err error
				switch test.at {
				case wire.TypePut, wire.TypeStripe:
					_, err = c.PutBytes(t.Context(), "k", make([]byte, 9<<20), infinicache.WithShape(1, 0))
				case wire.TypeDelete:
					_, err = c.Delete(t.Context(), "k")
				default:
					var got []byte
					got, err = c.GetBytes(t.Context(), "k", infinicache.Range(0, 1<<20))
					if err == nil && !bytes.Equal(got, want) {
						t.Errorf("wrong bytes")
					}
				}
				if err == nil || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
				p.set(fakeFaults{})
				if got, err := c.GetBytes(t.Context(), "k"); err != nil || !bytes.Equal(got, want) {
					t.Errorf("afterwards: equal %v, %v", bytes.Equal(got, want), err)
				}
			})
		})
	}
}

// TestRandomFaults has blocks vanish, change, move and come cut off, and links
// break, at random: what a call returns without an error is right.
func TestRandomFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		p, c := start(t, func(cfg *infinicache.Config) { cfg.StripeTimeout = 200 * time.Millisecond })
		want := mustPut(t, c, "k", 3<<20, infinicache.WithShape(4, 2))
		p.set(fakeFaults{block: func(l *fakeLink, b *wire.Block, body *[]byte) bool {
			switch r.IntN(60) {
			case 0:
				return false
			case 1:
				*body = bytes.Clone(*body)
				(*body)[r.IntN(len(*body))] ^= 1 << r.IntN(8)
			case 2:
				b.Index++
			case 3:
				*body = (*body)[:1+r.IntN(len(*body))]
			case 4:
				b.Sum++
			case 5:
				if r.IntN(5) == 0 {
					l.conn.Close(nil)
				}
			}
			return true
		}})
		good := 0
		for range 20 {
			got, err := c.GetBytes(t.Context(), "k")
			if err == nil {
				good++
			}
			if err == nil && !bytes.Equal(got, want) {
				t.Fatalf("wrong bytes; seed %d", seed)
			}
			o, err := c.Get(t.Context(), "k")
			if err != nil {
				continue
			}
			if got, err = io.ReadAll(o); !bytes.Equal(got, want[:len(got)]) || err == nil && len(got) != len(want) {
				t.Fatalf("wrong bytes, error %v; seed %d", err, seed)
			}
			o.Close()
		}
		if good == 0 {
			t.Errorf("no read of 20 succeeded; seed %d", seed)
		}
		if n := c.MemoryInUse(); n != 0 {
			t.Errorf("%d bytes of memory are still taken; seed %d", n, seed)
		}
	})
}
