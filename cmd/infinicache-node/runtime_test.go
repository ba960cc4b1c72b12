package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// runtimeAPI is as much of the platform's Runtime API as a function needs.
type runtimeAPI struct {
	addr     string
	events   chan []byte
	asked    chan struct{} // one for each time the function asks for an event
	answers  chan answer
	deadline time.Duration
	// registered says that the function wants to be told of its end.
	registered atomic.Bool
}

type answer struct {
	failed bool
	body   []byte
}

func newRuntimeAPI(t *testing.T) *runtimeAPI {
	a := &runtimeAPI{
		events:   make(chan []byte),
		asked:    make(chan struct{}, 100),
		answers:  make(chan answer, 1),
		deadline: time.Minute,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		a.answers <- answer{failed: r.PathValue("what") == "error", body: body}
	})
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Lambda-Extension-Name") == "" {
			t.Errorf("an extension without a name")
		}
		w.Header().Set("Lambda-Extension-Identifier", "extension-1")
		io.WriteString(w, "{}")
		a.registered.Store(true)
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // there are no events for it
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	a.addr = s.Listener.Addr().String()
	return a
}

func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.asked <- struct{}{}
	select {
	case event := <-a.events:
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", fmt.Sprint(time.Now().UnixNano()))
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(a.deadline).UnixMilli(), 10))
		w.Write(event)
	case <-r.Context().Done():
	}
}

// invoke passes an event and waits for its answer.
func (a *runtimeAPI) invoke(t *testing.T, event []byte) answer {
	t.Helper()
	timeout := time.After(time.Minute)
	select {
	case a.events <- event:
	case <-timeout:
		t.Fatal("the function does not ask for events")
	}
	select {
	case got := <-a.answers:
		return got
	case <-timeout:
		t.Fatal("the function does not answer")
	}
	panic("unreachable")
}
