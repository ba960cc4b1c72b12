// Package miniature is a container platform for tests, on one machine: it starts a
// process for a service when a request for it comes, passes requests on to it, and
// ends it as Knative does, first by a word to whoever asks its queue-proxy, then
// by SIGTERM, then by SIGKILL, while requests that come go to a new one.
package miniature

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/loopback"
)

// Config describes the services.
type Config struct {
	// Host is the host name of a service, with %d for its number.
	Host string
	// Services is how many are deployed, from 0.
	Services int
	// Binary is the program of each, Env its environment beside PORT and what else
	// the platform sets.
	Binary string
	Env    []string
	// Drain is the time from the word to SIGTERM, and Grace from there to SIGKILL.
	// Defaults 300 ms and 2 s.
	Drain, Grace time.Duration
	// Front wraps the gateway; nil lets everybody in.
	Front func(services http.Handler) http.Handler
	// Log takes what the processes write; nil discards.
	Log io.Writer
}

// Platform is one, running until the test ends.
type Platform struct {
	cfg  Config
	t    testing.TB
	door *httptest.Server
	// transport is the platform's own: servers of package httptest close the idle
	// connections of the default one when they end.
	transport *http.Transport

	mu     sync.Mutex
	pods   map[int]*pod // that requests go to, by service
	all    map[*pod]struct{}
	starts int
	ended  bool
}

// pod is one process.
type pod struct {
	service int
	cmd     *exec.Cmd
	url     *url.URL
	queue   *httptest.Server
	release func()        // gives its port back; nil while it has none
	ready   chan struct{} // closed when it can be asked, or err is set
	err     error
	exited  chan struct{}

	mu       sync.Mutex
	draining bool
}

// Start makes a platform.
func Start(t testing.TB, cfg Config) *Platform {
	t.Helper()
	if cfg.Drain == 0 {
		cfg.Drain = 300 * time.Millisecond
	}
	if cfg.Grace == 0 {
		cfg.Grace = 2 * time.Second
	}
	p := &Platform{cfg: cfg, t: t, transport: &http.Transport{}, pods: map[int]*pod{}, all: map[*pod]struct{}{}}
	var gateway http.Handler = http.HandlerFunc(p.serve)
	if cfg.Front != nil {
		gateway = cfg.Front(gateway)
	}
	p.door = httptest.NewServer(gateway)
	t.Cleanup(p.stop)
	return p
}

// URL is the gateway's.
func (p *Platform) URL() string { return p.door.URL }

// Starts is how many processes were started.
func (p *Platform) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// serve passes a request on to its service.
func (p *Platform) serve(w http.ResponseWriter, r *http.Request) {
	service, ok := p.service(r.Host)
	if !ok {
		http.NotFound(w, r)
		return
	}
	pod, err := p.listening(service)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(pod.url) },
		FlushInterval: -1,
		Transport:     p.transport,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}

func (p *Platform) service(host string) (int, bool) {
	for n := range p.cfg.Services {
		if host == fmt.Sprintf(p.cfg.Host, n) {
			return n, true
		}
	}
	return 0, false
}

// raise is the service's pod, which can be asked.
func (p *Platform) raise(service int) (*pod, error) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return nil, errors.New("the platform ends")
	}
	got := p.pods[service]
	if got == nil {
		got = &pod{service: service, ready: make(chan struct{}), exited: make(chan struct{})}
		p.pods[service] = got
		p.all[got] = struct{}{}
		p.starts++
		go p.start(got)
	}
	p.mu.Unlock()
	<-got.ready
	return got, got.err
}

// listening is raise for a pod that takes connections: one that has just ended is
// replaced.
func (p *Platform) listening(service int) (*pod, error) {
	for {
		pod, err := p.raise(service)
		if err != nil {
			return nil, err
		}
		if nc, err := net.Dial("tcp", pod.url.Host); err == nil {
			nc.Close()
			return pod, nil
		}
		<-pod.exited
	}
}

// start starts a pod's process and returns when that has ended.
func (p *Platform) start(pod *pod) {
	// The kernel ends the process with the thread that started it, see attr: this
	// one ends with this function.
	runtime.LockOSThread()
	defer close(pod.exited)
	defer p.forget(pod)
	defer func() {
		if pod.release != nil {
			pod.release()
		}
	}()
	if pod.err = p.exec(pod); pod.err != nil {
		close(pod.ready)
		return
	}
	defer pod.queue.Close()
	pod.err = p.await(pod)
	close(pod.ready)
	if pod.err != nil {
		pod.cmd.Process.Kill()
	}
	_ = pod.cmd.Wait()
}

// exec starts the process on a free port.
func (p *Platform) exec(pod *pod) error {
	at, release, err := loopback.Reserve()
	if err != nil {
		return err
	}
	pod.release = release
	pod.url = &url.URL{Scheme: "http", Host: at.String()}
	pod.queue = httptest.NewServer(http.HandlerFunc(pod.probe))
	pod.cmd = exec.Command(p.cfg.Binary)
	pod.cmd.Env = append([]string{
		"PORT=" + strconv.Itoa(int(at.Port())), "K_SERVICE=" + fmt.Sprint(pod.service), "K_REVISION=1",
		"INFINICACHE_QUEUE_PROXY=" + strings.TrimPrefix(pod.queue.URL, "http://"),
	}, p.cfg.Env...)
	pod.cmd.SysProcAttr = attr()
	out, err := pod.cmd.StderrPipe()
	if err != nil {
		pod.queue.Close()
		return err
	}
	pod.cmd.Stdout = os.Stderr
	if err := pod.cmd.Start(); err != nil {
		pod.queue.Close()
		return err
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if p.cfg.Log != nil {
				fmt.Fprintf(p.cfg.Log, "service %d, process %d: %s\n", pod.service, pod.cmd.Process.Pid, lines.Text())
			}
		}
	}()
	return nil
}

// startPatience is how long a process may take until it can be asked.
const startPatience = time.Minute

// await waits until the pod can be asked.
func (p *Platform) await(pod *pod) error {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, pod.url.String()+activation.HealthPath, nil)
		if err != nil {
			return err
		}
		if res, err := p.transport.RoundTrip(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("service %d did not start within %v", pod.service, startPatience)
		}
	}
}

func (p *Platform) forget(pod *pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, pod)
	if p.pods[pod.service] == pod {
		delete(p.pods, pod.service)
	}
}

// probe is what the pod's queue-proxy answers to those who ask.
func (pod *pod) probe(w http.ResponseWriter, _ *http.Request) {
	pod.mu.Lock()
	defer pod.mu.Unlock()
	if pod.draining {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
	}
}

// Instances are the addresses of all processes that can be asked.
func (p *Platform) Instances() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []netip.AddrPort
	for pod := range p.all {
		select {
		case <-pod.ready:
			if at, err := netip.ParseAddrPort(pod.url.Host); pod.err == nil && err == nil {
				all = append(all, at)
			}
		default: // it starts
		}
	}
	return all
}

// Outlive has requests for a service that come from now on go to a new process. The
// one there lives on.
func (p *Platform) Outlive(service int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pods, service)
}

// Delete ends a service's process, with notice, and returns at once; requests that
// come from now on go to a new one. ended is closed when it is gone. It is nil if
// there was none.
func (p *Platform) Delete(service int) (ended <-chan struct{}) {
	p.mu.Lock()
	pod := p.pods[service]
	delete(p.pods, service)
	p.mu.Unlock()
	if pod == nil {
		return nil
	}
	<-pod.ready
	pod.mu.Lock()
	pod.draining = true
	pod.mu.Unlock()
	go func() {
		for _, step := range []struct {
			after  time.Duration
			signal syscall.Signal
		}{{p.cfg.Drain, syscall.SIGTERM}, {p.cfg.Grace, syscall.SIGKILL}} {
			select {
			case <-time.After(step.after):
				_ = pod.cmd.Process.Signal(step.signal)
			case <-pod.exited:
				return
			}
		}
	}()
	return pod.exited
}

// Kill ends a service's process without a word and waits until it is gone.
func (p *Platform) Kill(service int) {
	p.mu.Lock()
	pod := p.pods[service]
	p.mu.Unlock()
	if pod != nil {
		<-pod.ready
		_ = pod.cmd.Process.Kill()
		<-pod.exited
	}
}

// stop ends all processes.
func (p *Platform) stop() {
	p.mu.Lock()
	p.ended = true
	var all []*pod
	for pod := range p.all {
		all = append(all, pod)
	}
	p.mu.Unlock()
	for _, pod := range all {
		<-pod.ready
		if pod.cmd.Process != nil {
			_ = pod.cmd.Process.Kill()
		}
		<-pod.exited
	}
	p.door.CloseClientConnections()
	p.door.Close()
	p.transport.CloseIdleConnections()
}
