package redis

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/simnet"
)

// Clients that do not move lose their connection after a moment if others wait
// for what they hold, and keep it for the stall time if nobody does.
func TestClientsThatHoldOthersUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		pressed bool
		send    string
		min     time.Duration
		max     time.Duration
	}{
		{"reads nothing", true, "GET big\r\n", 0, 10 * time.Second},
		{"reads nothing, nobody waits", false, "GET big\r\n", 29 * time.Second, 40 * time.Second},
		{"sends nothing", true, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nsome", 0, 10 * time.Second},
		{"sends nothing, nobody waits", false, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nsome", 29 * time.Second, 40 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1)
				defer n.Close()
				ln, err := n.Listen("door")
				if err != nil {
					t.Fatal(err)
				}
				cache := newFake()
				big := bytes.Repeat([]byte("x"), 4<<20)
				if _, err := cache.Put(t.Context(), "big", int64(len(big)), bytes.NewReader(big), object.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				var asked atomic.Int64
				d, err := New(Config{Cache: cache, Pressed: func() bool { asked.Add(1); return c.pressed }})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- d.Serve(ctx, ln) }()
				nc, err := n.Dial(t.Context(), "client", "door")
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprint(nc, c.send)
				began := time.Now()
				for d.count() > 0 || time.Since(began) < time.Millisecond {
					time.Sleep(100 * time.Millisecond)
					if time.Since(began) > time.Hour {
						t.Fatal("the connection lives for ever")
					}
				}
				if took := time.Since(began); took < c.min || took > c.max {
					t.Errorf("the connection ended after %v, want %v to %v", took, c.min, c.max)
				}
				if asked.Load() == 0 {
					t.Error("the door never asked whether others wait")
				}
				io.Copy(io.Discard, nc)
				nc.Close()
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("Serve = %v", err)
				}
			})
		})
	}
}

// count is how many connections are served.
func (d *Door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}
