//go:build e2e

package knative

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// forward has ports of an object in a namespace be ports of this machine until the
// test ends, and returns their addresses, which answer after a moment. A forward ends with the pod that it goes
// to; then there is another.
func forward(t *testing.T, namespace, object string, ports ...string) (addresses []string) {
	t.Helper()
	args := append(strings.Fields(kubectl.value()), "-n", namespace, "port-forward", object)
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, own, _ := net.SplitHostPort(l.Addr().String())
		addresses, args = append(addresses, l.Addr().String()), append(args, own+":"+port)
		l.Close() // for kubectl, which listens there at once
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, args[0], args[1:]...)
			cmd.WaitDelay = time.Second
			_ = cmd.Run()
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return addresses
}
