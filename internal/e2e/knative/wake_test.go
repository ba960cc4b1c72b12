//go:build e2e

package knative

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/ledger"
	driver "github.com/infinicache/infinicache/internal/platform/knative"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// TestWake measures how long a request waits for a node without a pod, for one whose
// pod is up without a session, and for one in session. A node without a pod holds
// nothing, so that what waits for it is a SET.
func TestWake(t *testing.T) {
	const small = 1 << 10
	p := newPool(t, "wake", 1, fields{"keep": "warm", "window": "6s", "proxyFlags": []string{"--shape=1+0", "--warm-every=0", "--linger=50ms"}})
	c, l := p.client(), ledger.New()
	e := newEcho(t, 1, "6s")
	l.Fill(t, c, "wake", 1, small)

	timed := func(do func() error) time.Duration {
		t.Helper()
		began := time.Now()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	// What the cluster fails at with plain HTTP is not compared with, and not this test's.
	ask := func(took []time.Duration) []time.Duration {
		began := time.Now()
		if err := e.exchange(t.Context(), e.gateway, e.names[0], http.MethodGet, 1); err != nil {
			t.Logf("plain HTTP: %v", err)
			return took
		}
		return append(took, time.Since(began))
	}
	get := func() error {
		if _, hit := l.Get(t.Context(), c, "wake/0"); !hit {
			return fmt.Errorf("a miss: %v, %v", l.Misses, l.FirstFailure)
		}
		return nil
	}
	var cold, coldEcho, warm, awake, warmEcho []time.Duration
	for range 3 {
		l.Delete(t.Context(), c, "wake/0") // the pod would hand it over to the next one
		await(t, 2*time.Minute, "no pods are left but such that end", func() bool {
			_, err := e.pod(e.names[0])
			return err != nil && len(p.names()) == 0 && p.status().Nodes[0].Holders == 0
		})
		cold = append(cold, timed(func() error { l.Fill(t, c, "wake", 1, small); return nil }))
		coldEcho = ask(coldEcho)
		for range 10 {
			await(t, 5*time.Second, "the session is over", func() bool { return p.status().Nodes[0].State == "asleep" })
			warm = append(warm, timed(get))
			awake = append(awake, timed(get))
			warmEcho = ask(warmEcho)
		}
	}
	p.verdict(l)
	if len(coldEcho) == 0 || len(warmEcho) == 0 {
		t.Fatal("plain HTTP never worked")
	}
	report(t, "SET that waits for a node without a pod", "%s, %.2f times plain HTTP to such a service: %s", spread(cold), times(cold, coldEcho), spread(coldEcho))
	report(t, "GET that waits for a node without a session", "%s, %.1f times plain HTTP to a service that is up: %s", spread(warm), times(warm, warmEcho), spread(warmEcho))
	report(t, "GET of a node in session", "%s, %.2f times that", spread(awake), times(awake, warmEcho))
}

// TestExecToHello measures the node's program by itself, on this machine: its size,
// and the time from its start until its proxy has its hello, beside that until a
// program as small as can be answers HTTP.
func TestExecToHello(t *testing.T) {
	for _, name := range []string{"infinicache-node", "infinicache-node-linux-amd64", "infinicache-node-linux-arm64"} {
		if st, err := os.Stat(filepath.Join(binaries.value(), name)); err == nil {
			report(t, "size of "+name, "%.2f MB", float64(st.Size())/1e6)
		}
	}
	var hello, answer []time.Duration
	for range 15 {
		hello = append(hello, execToHello(t))
		answer = append(answer, execToAnswer(t))
	}
	report(t, "from exec to hello, on this machine", "%s, %.1f times from exec to the first answer of a small HTTP service: %s",
		spread(hello), times(hello, answer), spread(answer))
}

// start starts a program that serves at a port of loopback, until the test ends or stop
// is called.
func start(t *testing.T, program string, env ...string) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(program)
	cmd.Env = append(env, "PORT="+port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return address, func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
}

// served waits until somebody listens there. It asks without a pause: it is measured.
func served(t *testing.T, address string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		nc, err := net.Dial("tcp", address)
		if err == nil {
			nc.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func execToAnswer(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	address, stop := start(t, filepath.Join(at.dir, "echo"))
	defer stop()
	served(t, address)
	res, err := http.Get("http://" + address + "/?bytes=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

func execToHello(t *testing.T) time.Duration {
	t.Helper()
	identity, err := tlslink.New()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	address, stop := start(t, filepath.Join(binaries.value(), "infinicache-node"),
		"INFINICACHE_LINKS=127.0.0.1:0", "INFINICACHE_MEMORY=128MiB", "INFINICACHE_LOG_LEVEL=ERROR")
	defer stop()
	served(t, address)
	d, err := driver.New(driver.Config{Host: "n-%d.test", Gateway: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	secret := wire.Secret([]byte("a key of the pool"), 1, 0, 1)
	inv := &wire.Invocation{Protocol: wire.Version, Epoch: 1, Session: 1, Secret: secret[:], Capacity: 8 << 20, Fingerprint: identity.Fingerprint[:]}
	payload, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan wire.Call, 16)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = d.InvokeInbound(ctx, 0, payload, func(c wire.Call) { calls <- c }) // it is cancelled
	}()
	defer func() { cancel(); <-over }()
	select {
	case c := <-calls:
		hearHello(t, identity, c)
	case <-time.After(10 * time.Second):
		t.Fatal("the instance does not call")
	}
	return time.Since(began)
}

// hearHello dials an instance that called and reads its first frame.
func hearHello(t *testing.T, identity *tlslink.Identity, c wire.Call) {
	t.Helper()
	nc, err := net.Dial("tcp", c.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	secured, err := tlslink.Client(t.Context(), nc, identity, tlslink.Fingerprint(c.Fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	_ = secured.SetDeadline(time.Now().Add(10 * time.Second))
	preface := wire.Preface(wire.RoleProxy)
	if _, err := secured.Write(preface[:]); err != nil {
		t.Fatal(err)
	}
	var head [wire.PrefaceSize + wire.HeaderSize]byte
	if _, err := io.ReadFull(secured, head[:]); err != nil {
		t.Fatal(err)
	}
	if h, err := wire.ParseHeader(head[wire.PrefaceSize:]); err != nil || h.Type != wire.TypeHello {
		t.Fatalf("first frame %v, %v", h, err)
	}
}
