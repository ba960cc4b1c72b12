// Package admin is the operator's HTTP door to one proxy or platform, and a
// client of it.
//
//	GET  /healthz          200 while the process serves
//	GET  /readyz           200 when it can be used, 503 and why otherwise
//	GET  /metrics          Prometheus
//	GET  /status           Status, as JSON
//	POST /reclaim?node=N   takes the instances of the nodes away, where the
//	                       platform lets; node may be given many times, and
//	                       kill=true leaves out the notice before the end
//	POST /resize?nodes=N   makes the pool have N nodes; the answer is a stream of
//	                       JSON lines that tell of the progress and the end
//	POST /drain?node=N     moves all that the nodes hold to others, and gives them
//	                       nothing more; node may be given many times, and the
//	                       answer is a stream as of /resize
//	POST /admit?node=N     gives drained nodes back to the pool
//	GET  /debug/pprof/     profiles
//
// There is no password: the address is meant to be a loopback one. Requests that
// a browser makes for another site are refused.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxHeader = 64 << 10 // room for the numbers of MaxNodes nodes
	maxBody   = 64 << 10

	readHeader = 5 * time.Second
	readAll    = 10 * time.Second
	// writeAll has to leave time for a profile, which takes 30 s unless told.
	writeAll = 5 * time.Minute
	idle     = 2 * time.Minute
	grace    = 2 * time.Second
)

// MaxNodes is the most nodes of one pool.
const MaxNodes = 4096

var (
	// ErrNoNode is for Config's functions to wrap when the pool has no such node.
	ErrNoNode = errors.New("no such node")
	// ErrSize is for Config.Resize and Config.Drain to wrap when the pool cannot
	// have so many nodes, or so few.
	ErrSize = errors.New("bad number of nodes")
	// ErrBusy is for Config.Resize, Config.Drain and Config.Admit to wrap while
	// another of them is under way.
	ErrBusy = errors.New("a resize or a drain is under way")
)

// Config says what the door shows. What is nil is answered with 501.
type Config struct {
	// Status describes proxy and pool; called once per request for it.
	Status func() Status
	// Ready returns nil when the cache can be used, else why not. Nil means that
	// it always can.
	Ready func() error
	// Reclaim takes the instances of the nodes away, without notice if kill, and
	// says for each node how many there were. If it fails none was taken.
	Reclaim func(ctx context.Context, nodes []int, kill bool) ([]int, error)
	// Resize makes the pool have that many nodes, 1 to MaxNodes, and says how
	// many it had. It may tell how far it has come, until it returns. The context
	// ends when whoever asked is gone. An error that matches
	// errors.ErrUnsupported is answered with 501.
	Resize func(ctx context.Context, nodes int, progress func(done, total int)) (before int, err error)
	// Drain moves all that nodes hold to others, after which they are given nothing
	// more. It may tell how far it has come, until it returns. The context ends when
	// whoever asked is gone. If it fails the nodes go on as before.
	Drain func(ctx context.Context, nodes []int, progress func(done, total int)) error
	// Admit gives drained nodes back to the pool, all or, with an error, none.
	Admit func(nodes []int) error
	// Gatherer is where the metrics come from.
	Gatherer prometheus.Gatherer
	// Logger takes what was ordered (Info) and the server's complaints (Debug); nil
	// discards.
	Logger *slog.Logger
}

// Server is the door. It is an http.Handler, too.
type Server struct {
	cfg     Config
	log     *slog.Logger
	handler http.Handler
}

// New makes the door; Serve opens it.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("POST /reclaim", s.reclaim)
	mux.HandleFunc("POST /resize", s.resize)
	mux.HandleFunc("POST /drain", s.drain)
	mux.HandleFunc("POST /admit", s.admit)
	mux.Handle("GET /metrics", s.metrics())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.handler = http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, maxBody))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers on l until ctx ends, then closes l, lets requests under way end
// for two seconds, and returns nil when every connection is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeader,
		ReadTimeout:       readAll,
		WriteTimeout:      writeAll,
		IdleTimeout:       idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("admin: serve: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if server.Shutdown(ending) != nil {
		server.Close()
	}
	<-served
	return nil
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Ready != nil {
		if err := s.cfg.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Status == nil {
		http.Error(w, "no status here", http.StatusNotImplemented)
		return
	}
	s.answer(w, s.cfg.Status())
}

func (s *Server) metrics() http.Handler {
	if s.cfg.Gatherer == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no metrics here", http.StatusNotImplemented)
		})
	}
	return promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	})
}

func (s *Server) answer(w http.ResponseWriter, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// An error means that the asker left.
	_, _ = w.Write(append(body, '\n'))
}
