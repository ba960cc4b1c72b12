// Package emulator is a function platform on one machine. It speaks the public
// AWS Lambda API to callers and the Lambda Runtime API to function processes, so
// that the ordinary SDK with another endpoint URL is its client and an unmodified
// function binary runs on it. Functions come from Config, or are created, changed
// and deleted through the API, which is served as far as a deployment needs it,
// with the log groups of Amazon CloudWatch Logs beside it.
//
// An instance is a process in its own process group, with a clean environment
// and a Runtime API address of its own. Between sessions it is frozen (SIGSTOP,
// seen to have taken effect). A concurrent invocation starts a second instance,
// and instances are taken away by rule or by command. Sessions are billed, fail
// and are reported as on the real service.
//
// Nothing that an Emulator started outlives it: see watchdog and spawner for the
// case that its own process is killed.
package emulator

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Limits of the Invoke API, in bytes.
const (
	MaxPayload      = 6 << 20     // of a synchronous invocation
	MaxAsyncPayload = 1 << 20     // of an invocation of type Event
	MaxResponse     = 6<<20 + 100 // of a function's answer
)

// MaxNodes is the most functions of one platform.
const MaxNodes = 10_000

const (
	// DefaultNotice is what the real service gives a function with an internal
	// extension.
	DefaultNotice = 500 * time.Millisecond
	// MaxNotice is the longest Config.Notice.
	MaxNotice = 2 * time.Minute
)

var (
	// ErrNoNode means that no function is deployed for the node.
	ErrNoNode = errors.New("no such node")
	// ErrSize means that a platform cannot have so many nodes.
	ErrSize = errors.New("bad number of nodes")
	// ErrStopped means that Run has not started, or is ending.
	ErrStopped = errors.New("platform is not running")
)

// Emulator is the platform. Its methods are safe for concurrent use.
type Emulator struct {
	cfg      Config
	log      *slog.Logger
	listener net.Listener
	server   *http.Server

	spawner  spawner
	watchdog watchdog
	dir      string // work directory, one subdirectory per instance

	// parentDeath asks the kernel to kill instances with this process, where it
	// can. Tests turn it off to see the watchdog alone at work.
	parentDeath bool

	binary *code     // what functions run that Config describes; nil if it has none
	made   time.Time // when New was called

	mu        sync.Mutex  // guards the fields below, and those of functions and instances
	functions []*function // in order of deployment
	byName    map[string]*function
	codes     map[[sha256.Size]byte]*code // by the hash of the zip
	logGroups map[string]*logGroup
	processes map[*process]struct{}
	running   bool // between the start of Run and the start of its end
	ran       bool // Run was called

	calls                  map[string]int // management calls, by operation
	controlCalls, getCalls bucket

	tasks  sync.WaitGroup // calls, sessions, reclaims: what uses processes
	reaper sync.WaitGroup // what belongs to a process and ends with it
	events chan struct{}  // a token per asynchronous invocation
}

// New checks cfg, reporting every bad field at once, and opens the listener if
// there is none. It starts nothing; Run closes the listener.
func New(cfg Config) (*Emulator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	var binary *code
	if cfg.Binary != "" {
		path, err := filepath.Abs(cfg.Binary) // instances have directories of their own
		if err != nil {
			return nil, fmt.Errorf("emulator: Binary: %w", err)
		}
		binary = executableCode(path)
	}
	if cfg.Listener == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("emulator: %w", err)
		}
		cfg.Listener = ln
	}
	e := &Emulator{
		cfg:         cfg,
		log:         cfg.Logger,
		listener:    cfg.Listener,
		parentDeath: true,
		binary:      binary,
		made:        time.Now(),
		byName:      make(map[string]*function, cfg.Nodes),
		codes:       make(map[[sha256.Size]byte]*code),
		logGroups:   make(map[string]*logGroup),
		calls:       make(map[string]int),
		processes:   make(map[*process]struct{}),
		events:      make(chan struct{}, maxEvents),
		spawner:     newSpawner(),
	}
	e.deploy(cfg.Nodes)
	e.server = &http.Server{
		Handler:           e.api(),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    1 << 20,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
	return e, nil
}

// URL is the endpoint of all APIs.
func (e *Emulator) URL() string { return "http://" + e.listener.Addr().String() }

// FunctionName returns the name under which a node's function is deployed.
func (e *Emulator) FunctionName(node int) string { return e.cfg.Prefix + strconv.Itoa(node) }

// Run serves until ctx ends, then kills every instance, answers the calls that
// were in flight, and returns nil after every process and goroutine has ended.
// It may be called once.
func (e *Emulator) Run(ctx context.Context) (err error) {
	defer e.listener.Close()
	e.mu.Lock()
	if e.ran {
		e.mu.Unlock()
		return errors.New("emulator: run called twice")
	}
	e.ran = true
	e.mu.Unlock()

	if e.dir, err = os.MkdirTemp("", "infinicache-emulator-"); err != nil {
		return fmt.Errorf("emulator: %w", err)
	}
	// The watchdog removes the directory, whichever way this process ends.
	if err := e.watchdog.start(e.dir); err != nil {
		os.RemoveAll(e.dir)
		return fmt.Errorf("emulator: start watchdog: %w", err)
	}
	defer e.watchdog.stop()
	go e.spawner.run()
	defer e.spawner.stop()

	e.mu.Lock()
	e.running = true
	e.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		e.sweep(ctx)
	}()
	served := make(chan error, 1)
	go func() { served <- e.server.Serve(e.listener) }()

	select {
	case <-ctx.Done():
	case err = <-served:
		err = fmt.Errorf("emulator: serve: %w", err)
		served <- nil
	}
	cancel()
	e.shutdown()
	<-swept
	<-served
	return err
}

// shutdown ends in this order: no new work; no processes, which ends the
// sessions; the answers of those; the connections.
func (e *Emulator) shutdown() {
	e.mu.Lock()
	e.running = false
	processes := slices.Collect(maps.Keys(e.processes))
	e.mu.Unlock()
	for _, p := range processes {
		p.kill()
	}
	e.tasks.Wait()
	e.reaper.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if e.server.Shutdown(ctx) != nil {
		e.server.Close()
	}
}

// begin counts a task in, or reports that the platform is not running. Whoever
// got true calls e.tasks.Done.
func (e *Emulator) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.running {
		return false
	}
	e.tasks.Add(1)
	return true
}
