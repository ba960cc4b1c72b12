package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// More connections than the process has room for, of those who say nothing, begin a
// request and do not end it, or asked once and stay: whoever asks is answered.
func TestServiceIsReachedThroughACrowd(t *testing.T) {
	for _, tt := range []struct{ name, say string }{
		{"that says nothing", ""},
		{"that asked and stays", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startService(t)
			var closed int
			var all []net.Conn
			for range maxVisitors + 64 {
				nc, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				_ = nc.SetDeadline(time.Now().Add(time.Minute))
				_, _ = io.WriteString(nc, tt.say)
				if tt.say != "" {
					_, _ = bufio.NewReader(nc).Peek(1) // until it was heard
				}
				all = append(all, nc)
			}
			client := http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			defer client.CloseIdleConnections()
			res, err := client.Get(fmt.Sprint("http://", s.address, "/healthz"))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			for _, nc := range all {
				_ = nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				_, err := io.Copy(io.Discard, nc)
				if e, ok := err.(net.Error); !ok || !e.Timeout() {
					closed++
				}
			}
			if closed < 64 {
				t.Errorf("%d of %d connections were closed", closed, len(all))
			}
		})
	}
}

func TestServiceRefusesLargeHeaders(t *testing.T) {
	s := startService(t)
	nc, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		_, _ = io.WriteString(nc, "GET /healthz HTTP/1.1\r\nHost: h\r\n")
		for range 100 {
			if _, err := fmt.Fprintf(nc, "X: %01000d\r\n", 0); err != nil {
				return
			}
		}
		_, _ = io.WriteString(nc, "\r\n")
	}()
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err == nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %v", res.Status)
	}
}
