package activation

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// A body that does not come is not waited for, and keeps nobody from the instance. One
// that came late, but in time, has a session as long as any.
func TestSlowBodies(t *testing.T) {
	const patience = 1500 * time.Millisecond
	url := serve(t, Config{
		Function: func(ctx context.Context, payload []byte, _ func(wire.Call)) ([]byte, error) {
			if string(payload) == "2" {
				select {
				case <-time.After(patience + patience/5): // longer than a body may take
				case <-ctx.Done():
					return nil, context.Cause(ctx)
				}
			}
			return payload, nil
		},
		BodyPatience: patience, Beat: 20 * time.Millisecond,
	})
	addr := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), Path)
	open := func() net.Conn {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(nc, "POST "+Path+" HTTP/1.1\r\nHost: h\r\n"+LimitHeader+": 30000\r\nContent-Length: 1\r\n\r\n")
		return nc
	}
	slow := open()
	all := events(t, post(t, t.Context(), url, "60000", "", "1").Body)
	if last := all[len(all)-1]; last.End == nil || last.End.Failure != nil {
		t.Errorf("beside a slow body: %+v", last)
	}
	if res, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("the slow body: %v, %v", res, err)
	}
	late := open()
	_, _ = io.WriteString(late, "2")
	res, err := http.ReadResponse(bufio.NewReader(late), nil)
	if err != nil {
		t.Fatal(err)
	}
	all = events(t, res.Body)
	if last := all[len(all)-1]; last.End == nil || last.End.Failure != nil || string(last.End.Payload) != "2" {
		t.Errorf("a session that outlasts the patience with its body: %+v", last)
	}
}

// Whatever is asked, the answer is marked, and one session at most begins: of a payload
// that is JSON, whose last event is an end.
func FuzzInvoke(f *testing.F) {
	f.Add("POST", Path, "1000", "e30=", "")
	f.Add("POST", Path, "1000", "", "{}")
	f.Add("POST", Path, "-1", "", "{}")
	f.Add("POST", Path, "9223372036854775808", "", "{}")
	f.Add("GET", Path, "1", "", "")
	f.Add("GET", HealthPath, "", "", "")
	f.Add("POST", Path+"/../x", "1000", "=", strings.Repeat("[", 11_000))
	f.Fuzz(func(t *testing.T, method, path, limit, header, body string) {
		var sessions int
		s := New(Config{Patience: time.Millisecond, Function: func(_ context.Context, payload []byte, _ func(wire.Call)) ([]byte, error) {
			sessions++
			if !json.Valid(payload) {
				t.Errorf("payload %q", payload)
			}
			return payload, nil
		}})
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Method, r.URL.Path = method, path
		r.Header.Set(LimitHeader, limit)
		r.Header.Set(PayloadHeader, header)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		<-s.turn // the function has returned
		if w.Header().Get(Header) != Version {
			t.Errorf("status %d without the mark", w.Code)
		}
		if began := w.Header().Get("Content-Type") == "application/x-ndjson"; began != (sessions == 1) {
			t.Errorf("%d sessions, answer %d", sessions, w.Code)
		}
		if sessions == 1 {
			all := events(t, w.Body)
			if last := all[len(all)-1]; last.End == nil {
				t.Errorf("no end: %+v", all)
			}
		}
	})
}
