package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/loopback"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/knative"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// httpService is the program running as an HTTP service.
type httpService struct {
	cmd     *exec.Cmd
	address string
	driver  *knative.Driver
	log     *bufio.Scanner
}

func startService(t *testing.T, env ...string) *httpService {
	t.Helper()
	at := loopback.Unused(t)
	s := &httpService{address: at.String(), cmd: program(t, append([]string{
		fmt.Sprint("PORT=", at.Port()), linksVariable + "=127.0.0.1:0", memoryVariable + "=128MiB", levelVariable + "=DEBUG",
	}, env...))}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.log = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	if s.driver, err = knative.New(knative.Config{Host: "n-%d.test", Gateway: "http://" + s.address, Session: 2 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.driver.Close() })
	for end := time.Now().Add(time.Minute); ; {
		res, err := http.Get("http://" + s.address + "/healthz")
		if err == nil {
			res.Body.Close()
			return s
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func TestServiceAnswersProbes(t *testing.T) {
	s := startService(t)
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	go func() {
		for {
			nc, err := door.Accept()
			if err != nil {
				return
			}
			_, _ = link.Greet(nc, wire.RoleProxy, time.Minute) // a TLS hello is no preface
			nc.Close()
		}
	}()
	probe := func(address string) (r wire.ProbeResult) {
		payload, err := json.Marshal(wire.Probe{Protocol: wire.Version, Probe: address})
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.driver.Invoke(t.Context(), 0, payload)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Payload, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := probe(door.Addr().String()); !r.Reached || r.Version != version || r.Memory != 128<<20 {
		t.Errorf("probe = %+v", r)
	}
	if r := probe(loopback.Unused(t).String()); r.Reached || r.Error == "" {
		t.Errorf("probe of nobody = %+v", r)
	}
	identity, err := tlslink.New()
	if err != nil {
		t.Fatal(err)
	}
	secured, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer secured.Close()
	go func() {
		l := tlslink.Listener(secured, identity)
		if nc, err := l.Accept(); err == nil {
			_, _ = link.Greet(nc, wire.RoleProxy, time.Minute)
			nc.Close()
		}
	}()
	if r := probe(secured.Addr().String()); !r.Reached {
		t.Errorf("probe of a proxy with TLS = %+v", r)
	}
}

// called invokes the service, and gives the first address that it calls from.
func (s *httpService) called(t *testing.T, proxy *tlslink.Identity) wire.Call {
	t.Helper()
	secret := wire.Secret([]byte("a key of the pool"), 1, 0, 1)
	inv := &wire.Invocation{Protocol: wire.Version, Epoch: 1, Session: 1, Secret: secret[:], Capacity: 8 << 20}
	if proxy != nil {
		inv.Fingerprint = proxy.Fingerprint[:]
	}
	payload, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan wire.Call, 16)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		_, err := s.driver.InvokeInbound(ctx, 0, payload, func(c wire.Call) { calls <- c })
		if err != nil && !errors.Is(err, platform.Canceled) && !errors.Is(err, platform.Unavailable) {
			t.Errorf("session: %v", err)
		}
	}()
	select {
	case c := <-calls:
		return c
	case <-time.After(time.Minute):
		t.Fatal("the instance does not call")
		return wire.Call{}
	}
}

func TestServiceIsDialled(t *testing.T) {
	s := startService(t)
	proxy, err := tlslink.New()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := tlslink.New()
	if err != nil {
		t.Fatal(err)
	}
	c := s.called(t, proxy)
	dial := func(own *tlslink.Identity) error {
		nc, err := net.Dial("tcp", c.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		secured, err := tlslink.Client(t.Context(), nc, own, tlslink.Fingerprint(c.Fingerprint))
		if err != nil {
			return err
		}
		_ = secured.SetDeadline(time.Now().Add(time.Minute))
		preface := wire.Preface(wire.RoleProxy)
		if _, err := secured.Write(preface[:]); err != nil {
			return err
		}
		var b [wire.PrefaceSize]byte
		if _, err := secured.Read(b[:]); err != nil {
			return err
		}
		if role, err := wire.ParsePreface(b); err != nil || role != wire.RoleNode {
			return fmt.Errorf("role %v, %v", role, err)
		}
		var head [wire.HeaderSize]byte
		if _, err := secured.Read(head[:]); err != nil {
			return err
		}
		if h, err := wire.ParseHeader(head[:]); err != nil || h.Type != wire.TypeHello {
			return fmt.Errorf("first frame %v, %v", h, err)
		}
		return nil
	}
	if err := dial(stranger); err == nil {
		t.Error("a stranger is greeted")
	}
	if err := dial(proxy); err != nil {
		t.Errorf("the proxy that was called: %v", err)
	}
}

// Knative tells the end to who asks queue-proxy, and says SIGTERM long after.
func TestServiceHearsOfItsEndFromQueueProxy(t *testing.T) {
	var drains atomic.Bool
	asked := make(chan struct{}, 1)
	queue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("User-Agent"), "kube-probe/") {
			t.Errorf("asked as %q", r.Header.Get("User-Agent"))
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		switch {
		case drains.Load():
			http.Error(w, draining, http.StatusServiceUnavailable)
		default: // as while the process is not ready
			http.Error(w, "queue not ready", http.StatusServiceUnavailable)
		}
	}))
	defer queue.Close()
	s := startService(t, queueVariable+"="+strings.TrimPrefix(queue.URL, "http://"), "INFINICACHE_NOTICE=1m")
	wait := func() {
		t.Helper()
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Fatal("queue-proxy is asked no more")
		}
	}
	wait()
	heard := make(chan bool, 1)
	go func() {
		for s.log.Scan() {
			if strings.Contains(s.log.Text(), "the platform ends this instance") {
				heard <- drains.Load()
				break
			}
		}
		for s.log.Scan() {
		}
	}()
	wait()
	drains.Store(true)
	select {
	case told := <-heard:
		if !told {
			t.Error("a queue-proxy that is not ready is taken for one that drains")
		}
	case <-time.After(time.Minute):
		t.Fatal("the end is not heard of")
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func TestServiceWithBadEnvironment(t *testing.T) {
	out, err := program(t, []string{
		"PORT=no port", memoryVariable + "=much", linksVariable + "=nowhere", levelVariable + "=loud", "INFINICACHE_NOTICE=soon",
	}).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("ends with %v", err)
	}
	for _, want := range []string{"no port", "much", "nowhere", "loud", "soon"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("output %q lacks %q", out, want)
		}
	}
}
