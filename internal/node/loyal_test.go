package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

// An instance that anybody can invoke does not let go of what it holds to anybody,
// whatever epoch they claim.
func TestLoyalInstanceObeysWhoGaveItChunks(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	inWorld(t, Config{Loyal: true}, func(w *world) {
		try := func(inv *wire.Invocation, key ed25519.PrivateKey) error {
			payload, err := inv.Encode()
			if key != nil {
				payload, err = inv.Sign(key)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.node.Invoke(context.Background(), payload)
			return err
		}
		session := func(number uint64, key ed25519.PrivateKey) <-chan error {
			returned := make(chan error, 1)
			w.wg.Go(func() { returned <- try(invocation(number), key) })
			return returned
		}
		end := func(p *peer, returned <-chan error) {
			p.expect(wire.TypeSleep, 0, nil)
			p.say(wire.TypeAsleep, 0)
			if err := <-returned; err != nil {
				t.Errorf("session: %v", err)
			}
		}
		returned := session(1, key)
		p := <-w.links
		p.welcome(invocation(1))
		p.put(5, 1000)
		end(p, returned)

		theft := invocation(1)
		theft.Epoch, theft.Adopt, theft.Proxy = 99, true, "thief:1"
		for name, by := range map[string]ed25519.PrivateKey{"nobody": nil, "a stranger": stranger} {
			if err := try(theft, by); !errors.Is(err, wire.ErrDenied) {
				t.Errorf("invoked by %s: %v", name, err)
			}
		}
		if _, err := w.node.Probe(context.Background(), wire.Probe{Protocol: wire.Version, Probe: "thief:1"}); !errors.Is(err, wire.ErrDenied) {
			t.Errorf("probed: %v", err)
		}
		returned = session(2, key)
		if h := p.welcome(invocation(2)); h.Chunks != 1 {
			t.Errorf("%d chunks are left of 1", h.Chunks)
		}
		p.get(5, 1000)
		end(p, returned)
	})
}

// Whoever comes first to an instance that holds nothing may play with it. That must
// not keep it from its proxy: not by an epoch or session that is higher than any, nor
// by another node's number, by little capacity, or by a link.
func TestStrangerLeavesNothingBehind(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	sign := func(inv *wire.Invocation) []byte {
		payload, err := inv.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
	plain := func(inv *wire.Invocation) []byte {
		payload, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
	inWorld(t, Config{Loyal: true}, func(w *world) {
		play := func(payload []byte) <-chan wire.Return {
			returned := make(chan wire.Return, 1)
			w.wg.Go(func() {
				var r wire.Return
				answer, err := w.node.Invoke(context.Background(), payload)
				if err == nil {
					err = json.Unmarshal(answer, &r)
				}
				if err != nil {
					t.Errorf("session: %v", err)
				}
				returned <- r
			})
			return returned
		}
		session := func(inv *wire.Invocation, payload []byte) (wire.Hello, wire.Return) {
			returned := play(payload)
			p := <-w.links
			h := p.welcome(inv)
			p.expect(wire.TypeSleep, 0, nil)
			p.say(wire.TypeAsleep, 0)
			return h, <-returned
		}
		prank := invocation(math.MaxUint64)
		prank.Epoch, prank.Node, prank.Capacity = math.MaxUint64, 99, store.MinCapacity
		session(prank, plain(prank))

		for number := range uint64(2) {
			inv := invocation(number + 1)
			inv.Adopt = true
			h, r := session(inv, sign(inv))
			if h.Node != inv.Node || int64(h.Capacity) < 16<<20 || r.Reason != "slept" || r.Epoch != inv.Epoch {
				t.Errorf("hello %+v, return %+v", h, r)
			}
			session(prank, plain(prank))
		}
	})
}

// The number of the node that an empty instance played before binds it no longer.
func TestEmptyInstancePlaysAnotherNode(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, returned := w.join(invocation(1))
		p.put(5, 1000)
		p.freeChunks(chunkOf(5))
		p.sleep(2, returned)
		inv := invocation(2)
		inv.Node = 4
		returned = w.rejoin(p, inv)
		p.sleep(0, returned)
	})
}
