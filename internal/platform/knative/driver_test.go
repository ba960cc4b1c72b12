package knative_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/knative"
	"github.com/infinicache/infinicache/internal/wire"
)

func TestNewReportsEveryBadField(t *testing.T) {
	_, err := knative.New(knative.Config{Host: "one", Gateway: "10.0.0.1", Session: time.Millisecond, Memory: -1, Notice: -1, Silence: -1})
	if err == nil {
		t.Fatal("New accepts it")
	}
	for _, field := range []string{"Host", "Gateway", "Session", "Memory", "Notice", "Silence"} {
		if !strings.Contains(err.Error(), "field "+field) {
			t.Errorf("complaint lacks %s: %v", field, err)
		}
	}
}

// Tokens are for the gateway, and instances are not behind it.
func TestInstancesGetNoTokens(t *testing.T) {
	_, err := knative.New(knative.Config{
		Host: host, Gateway: "https://g", Audience: "a",
		Instances: func(context.Context) ([]netip.AddrPort, error) { return nil, nil },
	})
	if err == nil || !strings.Contains(err.Error(), "field Instances") {
		t.Errorf("New = %v", err)
	}
}

// served makes a driver whose gateway is h, and counts the requests it gets.
func served(t *testing.T, h http.HandlerFunc) (*knative.Driver, *atomic.Int64) {
	t.Helper()
	var requests atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	d, err := knative.New(knative.Config{Host: host, Gateway: s.URL, Silence: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, &requests
}

func TestAnswersOfThePlatformAndTheFunction(t *testing.T) {
	for _, tt := range []struct {
		name   string
		own    bool // the function itself says it
		status int
		kind   platform.Kind
	}{
		{"no route", false, 404, platform.NotFound},
		{"no pod in time", false, 503, platform.NotReady},
		{"queue is full", false, 429, platform.Throttled},
		{"not allowed", false, 403, platform.Denied},
		{"too large for the gateway", false, 413, platform.TooLarge},
		{"pod ended", false, 502, platform.Unavailable},
		{"another program", false, 200, platform.Unavailable},
		{"moved", false, 302, platform.Unavailable},
		{"in another session", true, 409, platform.Busy},
		{"bad payload", true, 400, platform.BadRequest},
		{"another path", true, 404, platform.Unavailable},
	} {
		d, requests := served(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Host != "c-7.default.svc.cluster.local" || r.Header.Get(activation.LimitHeader) != "300000" {
				t.Errorf("host %s, limit %s", r.Host, r.Header.Get(activation.LimitHeader))
			}
			if tt.own {
				w.Header().Set(activation.Header, activation.Version)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			fmt.Fprintln(w, "why it is so")
		})
		_, err := d.Invoke(t.Context(), 7, []byte(`{}`))
		var e *platform.Error
		if !errors.As(err, &e) || e.Kind != tt.kind || e.Node != 7 || !strings.Contains(err.Error(), "why it is so") {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.kind)
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("%s: %d attempts", tt.name, n)
		}
	}
}

// stream makes a driver whose function says these lines; the answer then ends, or
// stays open.
func stream(t *testing.T, open bool, lines ...string) *knative.Driver {
	d, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(activation.Header, activation.Version)
		io.WriteString(w, strings.Join(lines, "\n")+"\n")
		http.NewResponseController(w).Flush()
		if open {
			<-r.Context().Done()
		}
	})
	return d
}

func TestCallsAreHeardAndChecked(t *testing.T) {
	d := stream(t, false, `{}`, `{"call":{"address":"10.1.2.3:8076"}}`, `{"end":{"payload":{"x":1},"request":"r-1","milliseconds":12.5}}`)
	var heard []wire.Call
	out, err := d.InvokeInbound(t.Context(), 0, []byte(`{}`), func(c wire.Call) { heard = append(heard, c) })
	if err != nil || string(out.Payload) != `{"x":1}` || out.RequestID != "r-1" || out.Duration != 12500*time.Microsecond || out.Cold || !out.Estimated {
		t.Errorf("InvokeInbound = %+v, %v", out, err)
	}
	if len(heard) != 1 || heard[0].Address != "10.1.2.3:8076" {
		t.Errorf("calls %v", heard)
	}
	for _, address := range []string{"", "metadata.internal:80", "10.1.2.3", "10.1.2.3:0", "10.1.2.3:99999", strings.Repeat("1", 400)} {
		d := stream(t, true, `{"call":{"address":"`+address+`"}}`)
		if _, err := d.Invoke(t.Context(), 0, []byte(`{}`)); !errors.Is(err, wire.ErrProtocol) || !errors.Is(err, platform.Unavailable) {
			t.Errorf("call to %.20q: %v", address, err)
		}
	}
}

func TestBrokenStreams(t *testing.T) {
	for name, d := range map[string]*knative.Driver{
		"cut":      stream(t, false, `{}`),
		"nonsense": stream(t, true, `{}`, `<html>`),
		"silent":   stream(t, true, `{}`),
		"endless":  stream(t, true, strings.Repeat(" ", activation.MaxLine+1)),
	} {
		began := time.Now()
		if _, err := d.Invoke(t.Context(), 0, []byte(`{}`)); !errors.Is(err, platform.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: given up after %v", name, took)
		}
	}
}

func TestLeavingIsToldApart(t *testing.T) {
	d := stream(t, true, `{}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Invoke(ctx, 0, []byte(`{}`)); !errors.Is(err, platform.Canceled) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Invoke = %v", err)
	}
}

// What comes from a function goes to logs and is bounded there.
func TestFailuresAreToldShort(t *testing.T) {
	d, _ := served(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(activation.Header, activation.Version)
		fmt.Fprintf(w, "{\"end\":{\"failure\":{\"fault\":%q,\"message\":%q}}}\n", strings.Repeat("f", 100_000), strings.Repeat("m", 500_000))
	})
	_, err := d.Invoke(t.Context(), 0, []byte(`{}`))
	if !errors.Is(err, platform.Unavailable) || len(err.Error()) > 4<<10 {
		t.Errorf("%d bytes of error", len(err.Error()))
	}
}

// A gateway's own answer is no instance's, whatever it carries.
func TestNextIsAnInstancesWord(t *testing.T) {
	for status, want := range map[int]string{200: "i", 404: "", 503: "", 302: ""} {
		d, _ := served(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(activation.InstanceHeader, "i")
			w.WriteHeader(status)
		})
		if got, err := d.Next(t.Context(), 0); got != want || err != nil {
			t.Errorf("%d: %q, %v", status, got, err)
		}
	}
}
