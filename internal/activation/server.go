package activation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// Function plays one session. The deadline of ctx is the session's limit; ctx ends,
// too, when whoever invoked is gone. call has the proxy dial the instance; it does
// not block. The answer is JSON.
type Function func(ctx context.Context, payload []byte, call func(wire.Call)) ([]byte, error)

// Config describes a Server.
type Config struct {
	Function Function
	// Instance tells instances apart; it begins the names of sessions, in logs.
	Instance string
	// Init is how long the instance took from its start until New.
	Init time.Duration
	// Beat is the time between lines that only keep the stream from being cut as
	// idle. Default 5 s.
	Beat time.Duration
	// Patience is how long an invocation waits for the session before it to end;
	// then it is refused. Default 2 s.
	Patience time.Duration
	// Overrun is how long after its limit a session may still end by itself.
	// Default 1 s.
	Overrun time.Duration
	// BodyPatience is how long a payload in a body may take to come. Default 10 s.
	BodyPatience time.Duration
	// OnOverrun is called when a session did not: the instance cannot be used any
	// more and should end. May be nil.
	OnOverrun func()
}

// Server invokes a function as requests for it come, one session at a time. It is
// an http.Handler for Path and HealthPath.
type Server struct {
	cfg  Config
	mux  *http.ServeMux
	turn chan struct{} // holds a token while no session runs

	sessions atomic.Int64
}

// New makes a server; cfg must have a Function.
func New(cfg Config) *Server {
	if cfg.Beat == 0 {
		cfg.Beat = 5 * time.Second
	}
	if cfg.Patience == 0 {
		cfg.Patience = 2 * time.Second
	}
	if cfg.Overrun == 0 {
		cfg.Overrun = time.Second
	}
	if cfg.BodyPatience == 0 {
		cfg.BodyPatience = 10 * time.Second
	}
	s := &Server{cfg: cfg, mux: http.NewServeMux(), turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	s.mux.HandleFunc("POST "+Path, s.invoke)
	s.mux.HandleFunc("GET "+HealthPath, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(Header, Version)
	w.Header().Set(InstanceHeader, s.cfg.Instance)
	s.mux.ServeHTTP(w, r)
}

// invoke holds the request open for one session.
func (s *Server) invoke(w http.ResponseWriter, r *http.Request) {
	limit, err := limitOf(r.Header.Get(LimitHeader))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	payload, status, err := s.payloadOf(w, r)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	if !s.take(r.Context()) {
		http.Error(w, "the instance is in another session", http.StatusConflict)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	s.hold(ctx, w, payload)
}

// limitOf reads LimitHeader.
func limitOf(text string) (time.Duration, error) {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 1 || ms > MaxLimit.Milliseconds() {
		return 0, fmt.Errorf("%s: %.40q given, 1 to %d allowed", LimitHeader, text, MaxLimit.Milliseconds())
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// payloadOf reads a request's payload, from its header or its body. With an error
// comes the status to answer.
func (s *Server) payloadOf(w http.ResponseWriter, r *http.Request) (payload []byte, status int, err error) {
	if text := r.Header.Get(PayloadHeader); text != "" {
		payload, err = base64.StdEncoding.DecodeString(text)
	} else {
		// A limit for all of the request would end sessions. Not every writer has one.
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(s.cfg.BodyPatience))
		if payload, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload)); err == nil {
			_ = control.SetReadDeadline(time.Time{})
		} // else the server still looks for the rest, which may never come
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge, fmt.Errorf("payload of more than %d bytes", MaxPayload)
	case err != nil:
		return nil, http.StatusBadRequest, fmt.Errorf("payload: %w", err)
	case !json.Valid(payload):
		return nil, http.StatusBadRequest, errors.New("payload is not JSON")
	}
	return payload, 0, nil
}

// take waits for the instance to be in no session. Whoever got true gives the token
// back when the function has returned.
func (s *Server) take(ctx context.Context) bool {
	patience := time.NewTimer(s.cfg.Patience)
	defer patience.Stop()
	select {
	case <-s.turn:
		return true
	case <-patience.C:
	case <-ctx.Done():
	}
	return false
}

// hold runs a session and writes its events as they come.
func (s *Server) hold(ctx context.Context, w http.ResponseWriter, payload []byte) {
	number := s.sessions.Add(1)
	began := time.Now()
	calls := make(chan wire.Call, 16)
	returned := make(chan End, 1)
	go func() {
		end := s.run(ctx, payload, func(c wire.Call) {
			select {
			case calls <- c:
			default: // so many unanswered calls: one more changes nothing
			}
		})
		end.Request = s.cfg.Instance + "-" + strconv.FormatInt(number, 10)
		end.Milliseconds = milliseconds(time.Since(began))
		if number == 1 {
			end.InitMilliseconds = milliseconds(s.cfg.Init)
		}
		returned <- end
		s.turn <- struct{}{}
	}()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	out := stream{w: w, flush: http.NewResponseController(w).Flush}
	out.write(Event{}) // the headers and a first line go out at once
	beat := time.NewTicker(s.cfg.Beat)
	defer beat.Stop()
	for {
		select {
		case c := <-calls:
			out.write(Event{Call: &c})
		case <-beat.C:
			out.write(Event{})
		case end := <-returned:
			out.write(Event{End: &end})
			return
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return // nobody is there to hear how the function ends
			}
			end, ok := s.late(returned)
			if !ok && s.cfg.OnOverrun != nil {
				defer s.cfg.OnOverrun()
			}
			out.write(Event{End: &end})
			return
		}
	}
}

// late waits a moment for a session whose time is over.
func (s *Server) late(returned <-chan End) (end End, ok bool) {
	overrun := time.NewTimer(s.cfg.Overrun)
	defer overrun.Stop()
	select {
	case end := <-returned:
		return end, true
	case <-overrun.C:
		return End{Failure: &Failure{TimedOut, "the session passed its limit"}}, false
	}
}

// run calls the function. A panic fails its session and not the process, which
// holds what later sessions need.
func (s *Server) run(ctx context.Context, payload []byte, call func(wire.Call)) (end End) {
	defer func() {
		if r := recover(); r != nil {
			end = End{Failure: &Failure{Failed, fmt.Sprintf("panic: %v\n%s", r, debug.Stack())}}
		}
	}()
	answer, err := s.cfg.Function(ctx, payload, call)
	switch {
	case err != nil:
		return End{Failure: &Failure{Failed, err.Error()}}
	case len(answer) > MaxAnswer:
		return End{Failure: &Failure{TooLarge, fmt.Sprintf("%d bytes answered, at most %d allowed", len(answer), MaxAnswer)}}
	}
	return End{Payload: answer}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// stream writes events. Its errors mean that the asker left, which ends the
// request's context.
type stream struct {
	w     io.Writer
	flush func() error
}

func (s stream) write(e Event) {
	line, err := json.Marshal(e)
	if err != nil { // the function's answer is no JSON
		line, _ = json.Marshal(Event{End: &End{Failure: &Failure{Failed, "the function's answer is not JSON"}}})
	}
	_, _ = s.w.Write(append(line, '\n'))
	_ = s.flush()
}
