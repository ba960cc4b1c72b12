//go:build e2e

package knative

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	client "github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/ledger"
	"github.com/infinicache/infinicache/internal/wire"
)

// way is how links come to be, and whether they are TLS.
type way struct{ links, tls string }

func (w way) String() string { return w.links + ", TLS " + w.tls }

var ways = []way{{"direct", "on"}, {"direct", "off"}, {"dial", "on"}, {"dial", "off"}}

const (
	tenMiB = 10 << 20
	// Stripes of the pools that are compared: with one chunk on each node.
	data, spare = 3, 2
)

// newLinked deploys a pool whose links are of that way.
func newLinked(t *testing.T, w way) *pool {
	t.Helper()
	return newPool(t, w.links+"-"+w.tls, data+spare, fields{
		"links": w.links, "proxyFlags": []string{fmt.Sprintf("--shape=%d+%d", data, spare), "--tls=" + w.tls},
	})
}

// TestLinks has links of every way be used, sees that they are TLS or not, and
// compares them with each other and with plain HTTP through queue-proxy.
func TestLinks(t *testing.T) {
	var pools []*pool
	var runs []run
	for _, w := range ways {
		p := newLinked(t, w)
		pools = append(pools, p)
		c, l := p.client(), ledger.New()
		for k, size := range sizes {
			l.ReadAll(t, c, l.Fill(t, c, fmt.Sprint("links-", k), 3, size))
		}
		p.verdict(l)
		door := p.linkDoor(w)
		// A node that did not call just now says nothing to anyone, so that TLS shows
		// where the proxy is dialled only.
		if got, want := speaksTLS(t, door), w == (way{"dial", "on"}); got != want {
			t.Errorf("%v: the door of links speaks TLS to strangers: %t, want %t", w, got, want)
		}
		if w.links == "direct" {
			refused(t, door)
		}
		runs = append(runs, cacheRuns(t, w.String(), c)...)
	}
	sessions := func() (count uint64) {
		for _, p := range pools {
			for _, n := range p.status().Nodes {
				count += n.Sessions
			}
		}
		return count
	}
	e := newEcho(t, data+spare, "300s")
	runs = append(runs, e.runs(t, "HTTP through gateway and queue-proxy", e.gateway)...)
	runs = append(runs, e.runs(t, "HTTP to the pod", e.pod)...)
	before := sessions()
	compare(t, runs)
	report(t, "sessions that began meanwhile, all pools", "%d", sessions()-before)
}

// linkDoor is where one side of a pool's links dials the other.
func (p *pool) linkDoor(w way) string {
	p.t.Helper()
	object, ip, port := "service/"+p.id+"-links", "", "6376"
	if w.links == "direct" {
		pod := p.holding(1)[0]
		object, ip, port = "pod/"+pod.Name, pod.Status.PodIP, "8076"
	} else {
		var err error
		if ip, err = at.addressOf(p.t.Context(), p.id+"-links"); err != nil {
			p.t.Fatal(err)
		}
	}
	if kubectl.value() != "" {
		return forward(p.t, at.namespace, object, port)[0]
	}
	return net.JoinHostPort(ip, port)
}

// speaksTLS tells whether a server answers a TLS hello with its certificate. It may
// refuse the client afterwards.
func speaksTLS(t *testing.T, address string) bool {
	t.Helper()
	nc := dial(t, address)
	defer nc.Close()
	shown := false
	secured := tls.Client(nc, &tls.Config{
		InsecureSkipVerify: true, // whose it is does not matter here
		VerifyConnection: func(s tls.ConnectionState) error {
			shown = len(s.PeerCertificates) > 0
			return nil
		},
	})
	_ = secured.HandshakeContext(t.Context())
	return shown
}

// dial connects to an address, which may come to be only now, for five seconds.
func dial(t *testing.T, address string) (nc net.Conn) {
	t.Helper()
	await(t, 15*time.Second, address+" answers", func() (ok bool) {
		var err error
		nc, err = net.DialTimeout("tcp", address, time.Second)
		return err == nil
	})
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	return nc
}

// refused sees that a node does not greet a proxy that it did not call.
func refused(t *testing.T, address string) {
	t.Helper()
	nc := dial(t, address)
	defer nc.Close()
	preface := wire.Preface(wire.RoleProxy)
	_, _ = nc.Write(preface[:]) // it may be closed already
	if n, err := nc.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a node answers a stranger with %d bytes, %v", n, err)
	}
}

// cacheRuns store and read objects of ten MiB.
func cacheRuns(t *testing.T, name string, c *client.Client) []run {
	value := ledger.BytesOf("ten", 1, tenMiB)
	into := make([]byte, 0)
	return []run{
		{name, "SET", func(ctx context.Context) error {
			_, err := c.PutBytes(ctx, "ten", value)
			return err
		}},
		{name, "GET", func(ctx context.Context) (err error) {
			into, err = c.GetBytes(ctx, "ten")
			if err == nil && (len(into) != len(value) || into[tenMiB/2] != value[tenMiB/2] || into[tenMiB-1] != value[tenMiB-1]) {
				t.Errorf("%s: wrong bytes", name)
			}
			return err
		}},
	}
}
