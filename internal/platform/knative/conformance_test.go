package knative_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/conformance"
	"github.com/infinicache/infinicache/internal/platform/knative"
	"github.com/infinicache/infinicache/internal/platform/knative/miniature"
	"github.com/infinicache/infinicache/internal/wire"
)

var began = time.Now()

// TestMain makes this binary the service when the platform starts it.
func TestMain(m *testing.M) {
	if port := os.Getenv("PORT"); port != "" {
		serveFunction(port)
		return
	}
	os.Exit(m.Run())
}

func serveFunction(port string) {
	s := activation.New(activation.Config{
		Instance: port, Init: time.Since(began),
		Function: func(ctx context.Context, payload []byte, call func(wire.Call)) ([]byte, error) {
			var cmd conformance.Command
			if err := json.Unmarshal(payload, &cmd); err != nil {
				return nil, err
			}
			r, err := conformance.Function(ctx, cmd)
			if err != nil {
				return nil, err
			}
			return json.Marshal(r)
		},
		OnOverrun: func() { os.Exit(1) },
	})
	panic(http.ListenAndServe("127.0.0.1:"+port, s))
}

const host = "c-%d.default.svc.cluster.local"

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T, longest time.Duration) conformance.Harness {
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p := miniature.Start(t, miniature.Config{
			Host: host, Services: 4, Binary: binary,
			// A function under the race detector would sleep for a second at its exit.
			Env: []string{"GORACE=atexit_sleep_ms=0"},
		})
		d, err := knative.New(knative.Config{
			Host: host, Gateway: p.URL(), Session: longest,
			Price:     platform.Price{Quantum: 100 * time.Millisecond},
			Instances: func(context.Context) ([]netip.AddrPort, error) { return p.Instances(), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return conformance.Harness{Driver: d, Nodes: 4, Missing: 4, Outlive: p.Outlive}
	})
}
