package main

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"
)

// at is a listener of which only the address counts.
type at struct {
	net.Listener
	addr net.TCPAddr
}

func (l at) Addr() net.Addr { return &l.addr }

// TestWarnOfStrangers sees that doors that other machines reach are told of once, and not
// at all where that is known.
func TestWarnOfStrangers(t *testing.T) {
	loopback, all := at{addr: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}, at{addr: net.TCPAddr{IP: net.IPv4zero, Port: 2}}
	for name, c := range map[string]struct {
		client, redis, admin net.Listener
		known                bool
		want                 string
	}{
		"loopback": {loopback, loopback, loopback, false, ""},
		"one":      {loopback, all, loopback, false, " redis=0.0.0.0:2\n"},
		"several":  {all, all, all, false, " client=0.0.0.0:2 redis=0.0.0.0:2 admin=0.0.0.0:2\n"},
		"known":    {all, all, all, true, ""},
	} {
		var log bytes.Buffer
		s := &system{log: slog.New(slog.NewTextHandler(&log, nil)), admin: c.admin, reign: &reign{client: c.client, redis: c.redis, links: newCuttable(all)}}
		s.cfg.proxy, s.cfg.unauthenticated = &proxyConfig{}, c.known
		s.warnOfStrangers()
		text := log.String()
		if !strings.HasSuffix(text, c.want) || c.want == "" && text != "" || strings.Count(text, "\n") > 1 || c.want != "" && !strings.Contains(text, "level=WARN") {
			t.Errorf("%s: logged %q, want one warning that ends with %q", name, text, c.want)
		}
	}
}
