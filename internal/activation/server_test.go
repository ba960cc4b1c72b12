package activation

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// serve runs a function and gives the URL at which it is invoked.
func serve(t *testing.T, cfg Config) string {
	t.Helper()
	s := httptest.NewServer(New(cfg))
	t.Cleanup(s.Close)
	return s.URL + Path
}

// post invokes; a payload in the header where the body is empty.
func post(t *testing.T, ctx context.Context, url, limit, header, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(LimitHeader, limit)
	if header != "" {
		req.Header.Set(PayloadHeader, header)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// each gives the events of a stream as they come, to its end.
func each(t *testing.T, r io.Reader) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		t.Helper()
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, MaxLine)
		for lines.Scan() {
			var e Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("line %q: %v", lines.Text(), err)
			}
			if !yield(e) {
				return
			}
		}
	}
}

// events reads a stream to its end.
func events(t *testing.T, r io.Reader) []Event {
	t.Helper()
	return slices.Collect(each(t, r))
}

func echo(_ context.Context, payload []byte, _ func(wire.Call)) ([]byte, error) { return payload, nil }

func TestSessionFromBodyAndFromHeader(t *testing.T) {
	url := serve(t, Config{Function: echo, Instance: "i", Init: 7 * time.Millisecond})
	for i, res := range []*http.Response{
		post(t, t.Context(), url, "60000", "", `{"a":1}`),
		post(t, t.Context(), url, "60000", base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)), ""),
	} {
		all := events(t, res.Body)
		last := all[len(all)-1]
		if res.StatusCode != http.StatusOK || res.Header.Get(Header) != Version || res.Header.Get(InstanceHeader) != "i" || last.End == nil {
			t.Fatalf("answer %v, events %+v", res.Status, all)
		}
		if string(last.End.Payload) != `{"a":1}` || last.End.Failure != nil {
			t.Errorf("end = %+v", last.End)
		}
		if cold := last.End.InitMilliseconds == 7; cold != (i == 0) {
			t.Errorf("session %d: init %v", i, last.End.InitMilliseconds)
		}
	}
}

func TestRefusals(t *testing.T) {
	url := serve(t, Config{Function: echo})
	for _, tt := range []struct {
		name, limit, header, body string
		status                    int
	}{
		{"no limit", "", "", "{}", http.StatusBadRequest},
		{"limit of nothing", "0", "", "{}", http.StatusBadRequest},
		{"limit of years", "99999999999", "", "{}", http.StatusBadRequest},
		{"not JSON", "1000", "", "{", http.StatusBadRequest},
		{"no payload", "1000", "", "", http.StatusBadRequest},
		{"not base64", "1000", "*", "", http.StatusBadRequest},
		{"too large", "1000", "", `"` + strings.Repeat("x", MaxPayload) + `"`, http.StatusRequestEntityTooLarge},
	} {
		res := post(t, t.Context(), url, tt.limit, tt.header, tt.body)
		if res.StatusCode != tt.status || res.Header.Get(Header) == "" {
			t.Errorf("%s: %v, header %q, want %d", tt.name, res.Status, res.Header.Get(Header), tt.status)
		}
	}
}

func TestCallsBeatsAndFailures(t *testing.T) {
	heard := make(chan struct{})
	end := sync.OnceFunc(func() { close(heard) })
	url := serve(t, Config{Beat: time.Millisecond, Function: func(_ context.Context, payload []byte, call func(wire.Call)) ([]byte, error) {
		switch string(payload) {
		case `"call"`:
			call(wire.Call{Address: "127.0.0.1:1"})
			<-heard
			return []byte(`1`), nil
		case `"error"`:
			return nil, errors.New("no")
		case `"panic"`:
			panic("oh")
		case `"large"`:
			return []byte(`"` + strings.Repeat("x", MaxAnswer) + `"`), nil
		}
		return []byte(`{`), nil // not JSON
	}})
	// The session lasts until its call and three beats are heard.
	var calls, beats int
	for e := range each(t, post(t, t.Context(), url, "60000", "", `"call"`).Body) {
		switch {
		case e.Call != nil && e.Call.Address == "127.0.0.1:1":
			calls++
		case e == (Event{}):
			beats++
		}
		if calls > 0 && beats >= 3 {
			end()
		}
	}
	if calls != 1 || beats < 3 {
		t.Errorf("%d calls and %d beats", calls, beats)
	}
	for payload, want := range map[string]Fault{`"error"`: Failed, `"panic"`: Failed, `"large"`: TooLarge, `"nonsense"`: Failed} {
		all := events(t, post(t, t.Context(), url, "60000", "", payload).Body)
		last := all[len(all)-1]
		if last.End == nil || last.End.Failure == nil || last.End.Failure.Fault != want {
			t.Errorf("%s ends with %+v, want %s", payload, last.End, want)
		}
	}
}

func TestOneSessionAtATime(t *testing.T) {
	began := make(chan struct{}, 64)
	url := serve(t, Config{Patience: 20 * time.Millisecond, Function: func(ctx context.Context, _ []byte, _ func(wire.Call)) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return []byte(`1`), nil
	}})
	ctx, leave := context.WithCancel(t.Context())
	post(t, ctx, url, "60000", "", "1")
	<-began
	if res := post(t, t.Context(), url, "60000", "", "1"); res.StatusCode != http.StatusConflict {
		t.Errorf("a second session: %v", res.Status)
	}
	leave() // whoever invoked is gone: the session ends, and the next one begins
	for end := time.Now().Add(time.Minute); ; {
		res := post(t, t.Context(), url, "100", "", "1")
		if res.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after the first session: %v", res.Status)
		}
	}
}

func TestOverrun(t *testing.T) {
	ended, deaf := make(chan struct{}), make(chan struct{})
	defer close(deaf)
	url := serve(t, Config{
		Overrun: 20 * time.Millisecond, OnOverrun: func() { close(ended) },
		Function: func(context.Context, []byte, func(wire.Call)) ([]byte, error) {
			<-deaf
			return []byte(`1`), nil
		},
	})
	all := events(t, post(t, t.Context(), url, "30", "", "1").Body)
	last := all[len(all)-1]
	if last.End == nil || last.End.Failure == nil || last.End.Failure.Fault != TimedOut {
		t.Errorf("ends with %+v", last.End)
	}
	<-ended
}
