package emulator

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// runtimeClient is a function process by hand.
type runtimeClient struct {
	t   *testing.T
	url string
}

func startRuntimeAPI(t *testing.T) (*runtimeAPI, runtimeClient) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := newRuntimeAPI("f", "bootstrap", ln, slog.New(slog.DiscardHandler))
	served := make(chan struct{})
	go func() { defer close(served); a.serve() }()
	t.Cleanup(func() { a.close(); <-served })
	return a, runtimeClient{t, "http://" + ln.Addr().String()}
}

func (c runtimeClient) do(method, path, body string, header ...string) (int, http.Header, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

func TestRuntimeAPI(t *testing.T) {
	const invocation = "/2018-06-01/runtime/invocation/"
	a, c := startRuntimeAPI(t)
	s := &session{id: "id-1", payload: []byte(`{"a":1}`), clientContext: `{"c":2}`, deadline: time.UnixMilli(1234), answer: make(chan answer, 1)}
	a.deliver(s)

	for range 2 { // asked again before the answer, it gives the same event
		status, h, body := c.do("GET", invocation+"next", "")
		if status != 200 || body != `{"a":1}` || h.Get("Lambda-Runtime-Aws-Request-Id") != "id-1" ||
			h.Get("Lambda-Runtime-Deadline-Ms") != "1234" || h.Get("Lambda-Runtime-Client-Context") != `{"c":2}` ||
			h.Get("Lambda-Runtime-Invoked-Function-Arn") != functionARN("f") {
			t.Errorf("next = %d %v %q", status, h, body)
		}
	}
	for _, tt := range []struct {
		name, path, body string
		status           int
		reply            string
	}{
		{"wrong id", invocation + "id-2/response", "x", 400, "InvalidRequestID"},
		{"late init error", "/2018-06-01/runtime/init/error", "x", 403, "InvalidStateTransition"},
		{"answer", invocation + "id-1/response", "out", 202, `{"status":"OK"}`},
		{"second answer", invocation + "id-1/error", "x", 403, "InvalidStateTransition"},
	} {
		if status, _, reply := c.do("POST", tt.path, tt.body); status != tt.status || !strings.Contains(reply, tt.reply) {
			t.Errorf("%s: %d %q, want %d %q", tt.name, status, reply, tt.status, tt.reply)
		}
	}
	if got := <-s.answer; string(got.body) != "out" || got.failed {
		t.Errorf("answer %+v", got)
	}
}

func TestExtensions(t *testing.T) {
	const register = "/2020-01-01/extension/register"
	a, c := startRuntimeAPI(t)
	if a.hasExtension() {
		t.Error("an extension before the first")
	}
	for _, tt := range []struct{ name, body, extension, reply string }{
		{"no name", `{"events":[]}`, "", "Extension.InvalidExtensionName"},
		{"not JSON", `{`, "x", "InvalidRequestFormat"},
		{"events", `{"events":["SHUTDOWN"]}`, "x", "ShutdownEventNotSupportedForInternalExtension"},
	} {
		if status, _, reply := c.do("POST", register, tt.body, "Lambda-Extension-Name", tt.extension); status < 400 || !strings.Contains(reply, tt.reply) {
			t.Errorf("%s: %d %q", tt.name, status, reply)
		}
	}
	for range maxExtensions {
		if status, h, _ := c.do("POST", register, `{}`, "Lambda-Extension-Name", "x"); status != 200 || h.Get("Lambda-Extension-Identifier") == "" {
			t.Fatalf("register = %d %v", status, h)
		}
	}
	if status, _, _ := c.do("POST", register, `{}`, "Lambda-Extension-Name", "x"); status != 403 {
		t.Errorf("one extension too many: %d", status)
	}
	if status, _, _ := c.do("GET", "/2020-01-01/extension/event/next", "", "Lambda-Extension-Identifier", "x"); status != 403 {
		t.Errorf("next of a stranger: %d", status)
	}
	if !a.hasExtension() {
		t.Error("no extension")
	}
}
