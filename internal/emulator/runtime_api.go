package emulator

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
)

const maxExtensions = 10

// runtimeAPI is what one process talks to: the runtime interface, and as much of
// the extensions interface as a runtime needs to be told of its end. It has a
// listener of its own, because its address is all that identifies a process.
type runtimeAPI struct {
	function string
	handler  string
	listener net.Listener
	server   *http.Server

	parked chan struct{} // a token when the runtime asks and nothing is in hand, or fails to start
	events chan *session // to the runtime, at most one

	mu         sync.Mutex
	current    *session // the event that the runtime has, or had last
	ready      bool     // the runtime has asked once
	initError  *answer  // posted instead of a first ask
	extensions map[string]struct{}
}

// answer is what a runtime posted.
type answer struct {
	body      []byte
	errorType string // of a function error; empty for a response
	failed    bool
	tooLarge  bool
}

func newRuntimeAPI(function, handler string, listener net.Listener, log *slog.Logger) *runtimeAPI {
	a := &runtimeAPI{
		function:   function,
		handler:    handler,
		listener:   listener,
		parked:     make(chan struct{}, 1),
		events:     make(chan *session, 1),
		extensions: make(map[string]struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.respond(false))
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.respond(true))
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", a.failInit)
	mux.HandleFunc("POST /2020-01-01/extension/register", a.register)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", a.extensionNext)
	a.server = &http.Server{
		Handler:  mux,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return a
}

func (a *runtimeAPI) serve() { _ = a.server.Serve(a.listener) }

// close ends every connection, so that handlers that wait return.
func (a *runtimeAPI) close() { a.server.Close() }

// deliver hands s to the runtime, which has parked.
func (a *runtimeAPI) deliver(s *session) {
	select {
	case <-a.parked: // left by a runtime that asked twice
	default:
	}
	a.events <- s
}

// hasExtension tells whether the process asked to be told of its end.
func (a *runtimeAPI) hasExtension() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.extensions) > 0
}

// next is where an idle process waits, and is frozen. A runtime that asks again
// before it answered gets the same event.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	s := a.current
	if s != nil && s.answered {
		s = nil
	}
	a.ready = true
	a.mu.Unlock()
	if s == nil {
		select {
		case a.parked <- struct{}{}:
		default:
		}
		select {
		case s = <-a.events:
		case <-r.Context().Done():
			return
		}
		a.mu.Lock()
		a.current = s
		a.mu.Unlock()
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(s.payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", s.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(s.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", functionARN(a.function))
	if s.clientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", s.clientContext)
	}
	if s.tenant != "" {
		h.Set("Lambda-Runtime-Aws-Tenant-Id", s.tenant)
	}
	_, _ = w.Write(s.payload)
}

// respond takes the answer to the event in hand: a response or an error.
func (a *runtimeAPI) respond(failed bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, refuse := a.inHand(r.PathValue("id"))
		if s == nil {
			refuse(w)
			return
		}
		ans, err := readAnswer(r, failed)
		if err != nil {
			return // the connection broke in mid-answer
		}
		a.mu.Lock()
		twice := s.answered
		s.answered = true
		a.mu.Unlock()
		switch {
		case twice:
			invalidState(w)
			return
		case ans.tooLarge:
			runtimeError(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
				"Exceeded maximum allowed payload size ("+strconv.Itoa(MaxResponse)+" bytes).")
		default:
			accepted(w)
		}
		s.answer <- ans
	}
}

// inHand finds the session that the runtime may answer, or how to refuse.
func (a *runtimeAPI) inHand(id string) (*session, func(http.ResponseWriter)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.current == nil || a.current.id != id:
		return nil, func(w http.ResponseWriter) {
			runtimeError(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		}
	case a.current.answered:
		return nil, invalidState
	}
	return a.current, nil
}

// readAnswer reads at most one byte more than an answer may have. An error in
// the middle of a streamed response comes in the trailer.
func readAnswer(r *http.Request, failed bool) (answer, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxResponse+1))
	if err != nil {
		return answer{}, err
	}
	if len(body) > MaxResponse {
		return answer{tooLarge: true}, nil
	}
	ans := answer{body: body, failed: failed}
	if r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		ans.failed = true
		if b, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body")); err == nil {
			ans.body = b
		}
	}
	if ans.failed {
		ans.errorType = errorType(ans.body)
	}
	return ans, nil
}

// errorType is the platform's class of a posted error.
func errorType(body []byte) string {
	var e struct {
		Type string `json:"errorType"`
	}
	if json.Unmarshal(body, &e) != nil || e.Type == "" {
		return "Function.Unknown"
	}
	return e.Type
}

// failInit takes the error of a runtime that cannot start.
func (a *runtimeAPI) failInit(w http.ResponseWriter, r *http.Request) {
	ans, err := readAnswer(r, true)
	if err != nil {
		return
	}
	a.mu.Lock()
	late := a.ready || a.initError != nil
	if !late {
		a.initError = &ans
	}
	a.mu.Unlock()
	if late {
		invalidState(w)
		return
	}
	accepted(w)
	select {
	case a.parked <- struct{}{}:
	default:
	}
}

// startError returns what failInit took, or nil.
func (a *runtimeAPI) startError() *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.initError
}

// register admits an internal extension. Its only use here is the notice before
// the end: events are not served.
func (a *runtimeAPI) register(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Events []string `json:"events"`
	}
	err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&body)
	if err != nil && !errors.Is(err, io.EOF) {
		runtimeError(w, http.StatusBadRequest, "InvalidRequestFormat", err.Error())
		return
	}
	if r.Header.Get("Lambda-Extension-Name") == "" {
		runtimeError(w, http.StatusForbidden, "Extension.InvalidExtensionName", "Empty extension name")
		return
	}
	if len(body.Events) > 0 {
		runtimeError(w, http.StatusForbidden, "ShutdownEventNotSupportedForInternalExtension", "Events are not served to internal extensions")
		return
	}
	id := newID()
	a.mu.Lock()
	full := len(a.extensions) == maxExtensions
	if !full {
		a.extensions[id] = struct{}{}
	}
	a.mu.Unlock()
	if full {
		runtimeError(w, http.StatusForbidden, "Extension.TooManyExtensions", "Extension limit (10) reached")
		return
	}
	w.Header().Set("Lambda-Extension-Identifier", id)
	writeJSON(w, http.StatusOK, map[string]string{
		"functionName": a.function, "functionVersion": version, "handler": a.handler,
	})
}

// extensionNext blocks until the process is gone: there is no event to give.
func (a *runtimeAPI) extensionNext(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	_, ok := a.extensions[r.Header.Get("Lambda-Extension-Identifier")]
	a.mu.Unlock()
	if !ok {
		runtimeError(w, http.StatusForbidden, "Extension.UnknownExtensionIdentifier", "Unknown extension")
		return
	}
	<-r.Context().Done()
}

func accepted(w http.ResponseWriter) {
	writeJSON(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func invalidState(w http.ResponseWriter) {
	runtimeError(w, http.StatusForbidden, "InvalidStateTransition", "State transition is not allowed")
}

func runtimeError(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, map[string]string{"errorType": kind, "errorMessage": message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	writeJSONAs(w, "application/json", status, v)
}

func writeJSONAs(w http.ResponseWriter, contentType string, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps and structs of plain values come here
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
