package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"testing"

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
		returned = session(2, key)
		if h := p.welcome(invocation(2)); h.Chunks != 1 {
			t.Errorf("%d chunks are left of 1", h.Chunks)
		}
		p.get(5, 1000)
		end(p, returned)
	})
}
