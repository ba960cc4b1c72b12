package knative_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/knative"
)

// pod serves as one instance and returns where.
func pod(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return netip.MustParseAddrPort(strings.TrimPrefix(s.URL, "http://"))
}

// An instance that no service leads to any more is found among all that answer, by
// asking each once for all nodes.
func TestInstanceIsFoundAndInvoked(t *testing.T) {
	var asked, listed, invoked atomic.Int64
	old := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(activation.Header, activation.Version)
			w.Header().Set(activation.InstanceHeader, name)
			if r.Method == http.MethodGet {
				asked.Add(1)
				return
			}
			if want := "c-" + name + ".default.svc.cluster.local"; r.Host != want {
				t.Errorf("host %s, want %s", r.Host, want)
			}
			invoked.Add(1)
			fmt.Fprintln(w, `{"end":{"payload":{"of":"`+name+`"}}}`)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	all := []netip.AddrPort{
		pod(t, hang), pod(t, http.NotFound), netip.MustParseAddrPort("127.0.0.1:1"),
		pod(t, old("1")), pod(t, old("2")), pod(t, old("3")),
	}
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the gateway is asked") }))
	defer s.Close()
	d, err := knative.New(knative.Config{Host: host, Gateway: s.URL, Instances: func(context.Context) ([]netip.AddrPort, error) {
		listed.Add(1)
		return all, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	began := time.Now()
	var group sync.WaitGroup
	for node := 1; node <= 3; node++ {
		group.Go(func() {
			name := fmt.Sprint(node)
			out, err := d.InvokeInstance(t.Context(), node, name, []byte(`{}`), nil)
			if want := `{"of":"` + name + `"}`; err != nil || string(out.Payload) != want {
				t.Errorf("InvokeInstance = %s, %v, want %s", out.Payload, err, want)
			}
			if _, err := d.InvokeInstance(t.Context(), node, "4", []byte(`{}`), nil); !errors.Is(err, platform.NotFound) {
				t.Errorf("one that is not there: %v", err)
			}
		})
	}
	group.Wait()
	if asked.Load() != 3 || listed.Load() != 1 || invoked.Load() != 3 {
		t.Errorf("%d asked in %d rounds, %d invoked, want 3 in 1, and 3", asked.Load(), listed.Load(), invoked.Load())
	}
	if d := time.Since(began); d > time.Minute {
		t.Errorf("one that says nothing costs %v", d)
	}
}

func TestInstanceIsNotFound(t *testing.T) {
	broken := func(context.Context) ([]netip.AddrPort, error) { return nil, errors.New("no such host") }
	for name, cfg := range map[string]knative.Config{
		"no way":     {Host: host},
		"no listing": {Host: host, Instances: broken},
	} {
		d, err := knative.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.InvokeInstance(t.Context(), 5, "i", []byte(`{}`), nil)
		var e *platform.Error
		if !errors.As(err, &e) || e.Kind != platform.NotFound || e.Node != 5 {
			t.Errorf("%s: %v", name, err)
		}
		d.Close()
	}
}
