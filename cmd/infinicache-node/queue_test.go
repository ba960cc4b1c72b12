package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/infinicache/infinicache/internal/node"
	"github.com/infinicache/infinicache/internal/simnet"
	"github.com/infinicache/infinicache/internal/wire"
)

// A service that heard of its end from queue-proxy stays until SIGTERM, which is the
// platform's own word, plays no session, and ends by itself where none follows.
func TestServiceAwaitsSIGTERMAfterQueueProxysWord(t *testing.T) {
	const word = 10 * time.Second
	for _, tt := range []struct {
		name    string
		sigterm time.Duration // 0 for never
		ends    time.Duration
	}{
		{"it comes", 40 * time.Second, 40 * time.Second},
		{"it comes first", 5 * time.Second, 5 * time.Second},
		{"it never comes", 0, word + 2*time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := simnet.New(1)
				defer network.Close()
				listen := func(at string) net.Listener {
					l, err := network.Listen(at)
					if err != nil {
						t.Fatal(err)
					}
					return l
				}
				began := time.Now()
				queue := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if time.Since(began) >= word {
						http.Error(w, draining, http.StatusServiceUnavailable)
					}
				})}
				at := listen("instance:8012")
				go queue.Serve(at)
				defer queue.Close()

				n, err := node.New(node.Config{Memory: 128 << 20})
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				s := &service{
					log: slog.New(slog.DiscardHandler), server: &http.Server{}, door: listen("instance:8080"),
					queue: "instance:8013,instance:8012", // nobody is at the first
					asker: &http.Client{Transport: &http.Transport{DialContext: network.Dialer("instance")}},
				}
				s.node, s.notice = n, 5*time.Second
				ctx, sigterm := context.WithCancel(t.Context())
				defer sigterm()
				if tt.sigterm > 0 {
					time.AfterFunc(tt.sigterm, sigterm)
				}
				ended := make(chan error, 1)
				go func() { ended <- s.run(ctx) }()

				time.Sleep(min(tt.ends, word+time.Second))
				if tt.ends > word {
					secret := wire.Secret([]byte("a key of the pool"), 1, 0, 1)
					inv := &wire.Invocation{Protocol: wire.Version, Epoch: 1, Session: 1, Secret: secret[:], Proxy: "proxy:1", Capacity: 8 << 20}
					payload, err := inv.Encode()
					if err != nil {
						t.Fatal(err)
					}
					var r wire.Return
					answer, err := s.play(t.Context(), payload, nil)
					if err == nil {
						err = json.Unmarshal(answer, &r)
					}
					if err != nil || r.Reason != "notice" {
						t.Errorf("after the word a session returns %+v, %v, want notice", r, err)
					}
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				// queue-proxy is asked five times a second.
				if took := time.Since(began); took < tt.ends || took > tt.ends+time.Second {
					t.Errorf("ended after %v, want %v", took, tt.ends)
				}
			})
		})
	}
}
