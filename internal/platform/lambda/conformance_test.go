package lambda_test

import (
	"context"
	"os"
	"testing"
	"time"

	function "github.com/aws/aws-lambda-go/lambda"

	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/platform/conformance"
	"github.com/infinicache/infinicache/internal/platform/lambda"
)

// TestMain makes this binary the function when the emulator starts it.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		function.Start(conformance.Function)
		return
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	t.Run("second instance", func(t *testing.T) { conformance.Run(t, embedded(0)) })
	t.Run("one instance", func(t *testing.T) { conformance.Run(t, embedded(1)) })
}

// embedded makes harnesses of a driver over an emulator with the given reserved
// concurrency.
func embedded(reserved int) func(*testing.T, time.Duration) conformance.Harness {
	return func(t *testing.T, longest time.Duration) conformance.Harness {
		t.Helper()
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		e, err := emulator.New(emulator.Config{
			Nodes: 4, Prefix: "c-", Binary: binary, Timeout: longest, Concurrency: reserved,
			// A function under the race detector would sleep for a second at its exit.
			Env: map[string]string{"GORACE": "atexit_sleep_ms=0"},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		d, err := lambda.New(lambda.Config{
			AWS: lambda.Local(e.URL()), Prefix: "c-", Timeout: longest, Reserved: reserved,
			Price: platform.Price{Quantum: time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			d.Close()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run = %v", err)
			}
		})
		return conformance.Harness{Driver: d, Nodes: 4, Missing: 4}
	}
}
