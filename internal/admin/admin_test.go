package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/infinicache/infinicache/internal/loopback"
)

func get(t *testing.T, h http.Handler, method, target string, header ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func door(ready error) *Server {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "infinicache_test_total"})
	reg.MustRegister(c)
	c.Add(3)
	return New(Config{
		Status: func() Status { return Status{Version: "v", Nodes: []Node{{Node: 0, State: "asleep"}}} },
		Ready:  func() error { return ready },
		Reclaim: func(_ context.Context, nodes []int, kill bool) ([]int, error) {
			var counts []int
			for _, node := range nodes {
				switch {
				case node == 4:
					return nil, errors.New("platform is not running")
				case node > 4:
					return nil, fmt.Errorf("reclaim %d: %w", node, ErrNoNode)
				case kill:
					node += 100
				}
				counts = append(counts, node-1)
			}
			return counts, nil
		},
		Resize:   resizeFake,
		Drain:    drainFake,
		Admit:    admitFake,
		Gatherer: reg,
	})
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		method, target string
		code           int
		want           string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"GET", "/readyz", 200, "ready\n"},
		{"GET", "/metrics", 200, "infinicache_test_total 3"},
		{"GET", "/status", 200, `"state": "asleep"`},
		{"POST", "/status", 405, ""},
		{"POST", "/reclaim?node=3", 200, `"instances": 2`},
		{"GET", "/reclaim?node=3", 405, ""},
		{"POST", "/reclaim?node=99", 404, "no such node"},
		{"POST", "/reclaim?node=4", 503, "not running"},
		{"POST", "/reclaim?node=3&node=2", 200, `"node": 2`},
		{"POST", "/reclaim?node=3&kill=true", 200, `"instances": 102`},
		{"POST", "/reclaim?node=3&kill=perhaps", 400, `"perhaps" given`},
		{"POST", "/reclaim?node=3&node=-1", 400, `"-1" given`},
		{"POST", "/reclaim?node=x", 400, `"x" given`},
		{"POST", "/reclaim?" + strings.Repeat("node=1&", MaxNodes) + "node=1", 400, "at most 4096"},
		{"POST", "/reclaim", 400, `"" given`},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"GET", "/nothing", 404, ""},
	} {
		code, body := get(t, door(nil), tt.method, tt.target)
		if code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s = %d %.200q, want %d with %q", tt.method, tt.target, code, body, tt.code, tt.want)
		}
	}
}

func TestNotReady(t *testing.T) {
	if code, body := get(t, door(errors.New("shutting down")), "GET", "/readyz"); code != 503 || !strings.Contains(body, "shutting down") {
		t.Errorf("readyz = %d %q, want 503 and why", code, body)
	}
}

func TestNothingToShow(t *testing.T) {
	empty := New(Config{})
	for _, target := range []string{"/status", "/metrics"} {
		if code, _ := get(t, empty, "GET", target); code != 501 {
			t.Errorf("%s = %d, want 501", target, code)
		}
	}
	if code, _ := get(t, empty, "POST", "/reclaim?node=0"); code != 501 {
		t.Errorf("reclaim = %d, want 501", code)
	}
	if code, _ := get(t, empty, "GET", "/readyz"); code != 200 {
		t.Errorf("readyz = %d, want 200", code)
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	code, _ := get(t, door(nil), "POST", "/reclaim?node=3", "Sec-Fetch-Site", "cross-site")
	if code != 403 {
		t.Errorf("a cross-site reclaim = %d, want 403", code)
	}
}

// open serves a door on a loopback port until the test ends.
func open(t *testing.T, s *Server) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	c := NewClient(l.Addr().String())
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return c
}

func TestClient(t *testing.T) {
	c := open(t, door(nil))
	ctx := t.Context()
	if err := c.Ready(ctx); err != nil {
		t.Errorf("Ready = %v", err)
	}
	got, err := c.Status(ctx)
	want := Status{Version: "v", Nodes: []Node{{Node: 0, State: "asleep"}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Status: %v (-want +got):\n%s", err, diff)
	}
	taken, err := c.Reclaim(ctx, []int{3, 1}, true)
	if diff := cmp.Diff([]Reclaimed{{3, 102}, {1, 100}}, taken); err != nil || diff != "" {
		t.Errorf("Reclaim(3, 1): %v (-want +got):\n%s", err, diff)
	}
	if _, err := c.Reclaim(ctx, []int{3, 99}, false); !errors.Is(err, ErrNoNode) {
		t.Errorf("Reclaim(99) = %v, want ErrNoNode", err)
	}
	if _, err := c.Reclaim(ctx, []int{4}, false); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("Reclaim(4) = %v", err)
	}
}

// TestReclaimOfAWholePool: the numbers of the largest pool fit a request.
func TestReclaimOfAWholePool(t *testing.T) {
	all := make([]int, MaxNodes)
	s := New(Config{Reclaim: func(_ context.Context, nodes []int, _ bool) ([]int, error) { return nodes, nil }})
	for i := range all {
		all[i] = i
	}
	taken, err := open(t, s).Reclaim(t.Context(), all, true)
	if err != nil || len(taken) != MaxNodes || taken[MaxNodes-1].Instances != MaxNodes-1 {
		t.Errorf("%d answers, error %v", len(taken), err)
	}
}

func TestClientOfSomethingElse(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }))
	defer other.Close()
	c := NewClient(other.Listener.Addr().String())
	defer c.Close()
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "not understood") {
		t.Errorf("Status of another server = %v", err)
	}
	nobody := loopback.Unused(t).String()
	gone := NewClient(nobody)
	if _, err := gone.Status(t.Context()); err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("Status of nobody = %v, want an error with the address", err)
	}
}
