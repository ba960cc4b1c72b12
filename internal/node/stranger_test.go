package node

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// Strangers at the door of an instance that waits for its proxy: who says nothing, who
// says nonsense, who has another key, who talks without end. None of them is said
// anything of the session, and none keeps the proxy out.
func TestStrangersAtTheDoor(t *testing.T) {
	proxy, err := tlslink.Derive([]byte("secret of the pool"))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := tlslink.New()
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, Config{Address: "instance:1"}, func(w *world) {
		ln, err := w.net.Listen("instance:1")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		w.wg.Go(func() { _ = w.node.Serve(ctx, ln) })
		defer stop()
		dial := func() net.Conn {
			nc, err := w.net.Dial(context.Background(), "stranger", "instance:1")
			if err != nil {
				t.Fatal(err)
			}
			return nc
		}
		// closed checks that a connection is closed within a time.
		closed := func(what string, nc net.Conn, within time.Duration) {
			t.Helper()
			_ = nc.SetReadDeadline(time.Now().Add(within))
			if _, err := io.Copy(io.Discard, nc); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Errorf("%s is there after %v", what, within)
				}
			}
			nc.Close()
		}
		closed("whoever comes before a call", dial(), time.Second)

		inv := invocation(1)
		inv.Proxy, inv.Fingerprint = "", proxy.Fingerprint[:]
		inv.Linger.Stay = 30 * time.Second
		payload, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		calls, over := make(chan wire.Call, 16), make(chan error, 1)
		w.wg.Go(func() {
			_, err := w.node.InvokeCalling(context.Background(), payload, func(c wire.Call) { calls <- c })
			over <- err
		})
		call := <-calls

		var crowd []net.Conn
		for range 5 * maxGreetings { // who say nothing
			crowd = append(crowd, dial())
		}
		nonsense := dial()
		_, _ = io.WriteString(nonsense, "GET / HTTP/1.1\r\n\r\n")
		preface := wire.Preface(wire.RoleProxy)
		plain := dial()
		_, _ = plain.Write(preface[:])
		half := dial()
		_, _ = half.Write([]byte{22, 3, 1, 2, 0, 1}) // a handshake that stops
		thief := dial()
		w.wg.Go(func() {
			nc, err := tlslink.Client(context.Background(), thief, stranger, tlslink.Fingerprint(call.Fingerprint))
			if err != nil {
				return
			}
			// The other side of TLS 1.3 refuses a key after this side is done.
			if _, err := io.ReadFull(nc, make([]byte, 1)); err == nil {
				t.Error("a stranger with another key is told something")
			}
			nc.Close()
		})

		nc, err := tlslink.Client(context.Background(), dial(), proxy, tlslink.Fingerprint(call.Fingerprint))
		if err != nil {
			t.Fatalf("the proxy among strangers: %v", err)
		}
		p := &peer{t: t, in: make(chan heard, 64), over: make(chan struct{})}
		p.conn = link.New(nc, link.Config{Greeting: &preface, Peer: wire.RoleNode})
		w.wg.Go(func() {
			p.err = p.conn.Run(context.Background(), p)
			close(p.over)
		})
		p.welcome(inv)
		p.put(5, 1000)

		closed("nonsense", nonsense, 2*greetPatience)
		closed("plain text", plain, 2*greetPatience)
		closed("half a handshake", half, 2*greetPatience)
		for _, nc := range crowd {
			closed("one who says nothing", nc, 2*greetPatience)
		}
		closed("whoever comes in a session", dial(), time.Second)

		p.get(5, 1000)
		p.expect(wire.TypeSleep, 0, nil)
		p.say(wire.TypeAsleep, 0)
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}
