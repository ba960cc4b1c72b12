package tlslink

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

func identity(t *testing.T) *Identity {
	t.Helper()
	id, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDeriveIsRepeatable(t *testing.T) {
	a, err := Derive([]byte("one secret"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Derive([]byte("one secret"))
	c, _ := Derive([]byte("another"))
	if a.Fingerprint != b.Fingerprint || a.Fingerprint == c.Fingerprint || a.Fingerprint == (Fingerprint{}) {
		t.Errorf("fingerprints %x, %x and %x", a.Fingerprint, b.Fingerprint, c.Fingerprint)
	}
	if one, other := identity(t), identity(t); one.Fingerprint == other.Fingerprint {
		t.Error("two new identities are one")
	}
}

// pair connects two ends over loopback, the first of which dialled.
func pair(t *testing.T) (dialled, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled, accepted
}

// link makes a link with both ends checking each other, and gives both errors.
func link(t *testing.T, client, server *Identity, clientWants, serverWants Fingerprint) (c, s net.Conn, cerr, serr error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dialled, accepted := pair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s, serr = Server(ctx, accepted, server, serverWants)
	}()
	c, cerr = Client(ctx, dialled, client, clientWants)
	<-done
	if cerr == nil && serr != nil {
		// A client that is refused hears of it with its first Read.
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		_, cerr = c.Read(make([]byte, 1))
		var e net.Error
		if errors.As(cerr, &e) && e.Timeout() {
			t.Error("a client that is refused does not hear of it")
		}
	}
	return c, s, cerr, serr
}

func TestBothSidesKnowEachOther(t *testing.T) {
	proxy, node := identity(t), identity(t)
	c, s, cerr, serr := link(t, proxy, node, node.Fingerprint, proxy.Fingerprint)
	if cerr != nil || serr != nil {
		t.Fatalf("handshake: %v, %v", cerr, serr)
	}
	go func() {
		c.Write([]byte("hello"))
		c.Close()
	}()
	if got, err := io.ReadAll(s); string(got) != "hello" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	proxy, node, stranger := identity(t), identity(t), identity(t)
	if _, _, cerr, _ := link(t, proxy, stranger, node.Fingerprint, proxy.Fingerprint); !errors.Is(cerr, ErrStranger) {
		t.Errorf("dialling a stranger: %v", cerr)
	}
	if _, _, cerr, serr := link(t, stranger, node, node.Fingerprint, proxy.Fingerprint); !errors.Is(serr, ErrStranger) || cerr == nil {
		t.Errorf("dialled by a stranger: %v, who heard %v", serr, cerr)
	}
	if _, _, _, serr := link(t, nil, node, node.Fingerprint, proxy.Fingerprint); serr == nil {
		t.Error("one without a key is let in")
	}
}

func TestListener(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := identity(t)
	l := Listener(plain, proxy)
	defer l.Close()
	go func() {
		nc, err := l.Accept()
		if err == nil {
			io.Copy(nc, nc)
			nc.Close()
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := Client(t.Context(), nc, nil, proxy.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("echo")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "echo" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	dialled, _ := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Client(ctx, dialled, nil, Fingerprint{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Client = %v", err)
	}
	if _, err := dialled.Write([]byte("x")); err == nil {
		t.Error("the connection is left open")
	}
}
