// Command infinicache-node is the function that holds a cache's chunks. It runs
// where functions run: on AWS Lambda or the platform that `infinicache up` embeds,
// and as an HTTP service on Knative or Cloud Run. It is of no use at a prompt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/infinicache/infinicache/internal/node"
	"github.com/infinicache/infinicache/internal/wire"
)

// version is set when the binary is linked.
var version = "devel"

// started is when the process did, all but what Go itself needs.
var started = time.Now()

func main() {
	show := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *show {
		fmt.Println("infinicache-node", version)
		return
	}
	os.Exit(run())
}

// run plays the function until the platform ends it, and returns the exit code.
func run() int {
	var err error
	switch {
	case os.Getenv("AWS_LAMBDA_RUNTIME_API") != "":
		err = runLambda()
	case os.Getenv("PORT") != "":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		err = runService(ctx)
	default:
		err = errors.New("this is the function that holds a cache's chunks, and a function platform starts it: " +
			"deploy it to one (see `infinicache deploy --help`), or run `infinicache up`, which brings its own")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "infinicache-node:", err)
		return 2
	}
	return 0
}

// runLambda asks the Runtime API for sessions.
func runLambda() error {
	frugal()
	level, err := logLevel("AWS_LAMBDA_LOG_LEVEL")
	memory, err2 := memoryLimit(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	notice, err3 := noticeOf(os.Getenv("INFINICACHE_NOTICE"), lambdaNotice)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	n, err := node.New(node.Config{Memory: memory, Version: version, Logger: logger(level)})
	if err != nil {
		return err
	}
	h := &handler{node: n, notice: notice}
	lambda.StartWithOptions(h, lambda.WithEnableSIGTERM(func() {
		h.leave()
		os.Exit(0)
	}))
	return nil
}

func logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// frugal keeps the Go heap small: the function's memory is for chunks, which lie
// outside it, so collecting often costs little and saves much. One processor is
// what a function of this size has; with more, every request is handed from
// thread to thread, which costs a quarter of the node's time.
func frugal() {
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(16 << 20)
	runtime.GOMAXPROCS(1)
}

// logLevel reads a variable with the platform's name of a level; none means INFO.
func logLevel(variable string) (level slog.Level, err error) {
	name := os.Getenv(variable)
	switch name {
	case "":
		return slog.LevelInfo, nil
	case "TRACE":
		return slog.LevelDebug, nil
	case "FATAL":
		return slog.LevelError, nil
	}
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("%s is %q, allowed are TRACE, DEBUG, INFO, WARN, ERROR and FATAL", variable, name)
	}
	return level, nil
}

// memoryLimit reads MiB into bytes; none means that the limit is not known.
func memoryLimit(mib string) (int64, error) {
	if mib == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(mib, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("AWS_LAMBDA_FUNCTION_MEMORY_SIZE is %q, want a number of MiB", mib)
	}
	return n << 20, nil
}

// handler passes payloads on as they are. A defect fails its session and not
// the process, which holds chunks.
type handler struct {
	node   *node.Node
	notice time.Duration // from hearing of the end to the end
	going  atomic.Int32  // invocations
}

func (h *handler) Invoke(ctx context.Context, payload []byte) (answer []byte, err error) {
	return h.play(ctx, payload, nil)
}

// play is a session, or the answer to a probe. call is nil where no proxy can dial
// the instance.
func (h *handler) play(ctx context.Context, payload []byte, call func(wire.Call)) (answer []byte, err error) {
	h.going.Add(1)
	defer h.going.Add(-1)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	if p, ok := wire.DecodeProbe(payload); ok {
		return h.node.Probe(ctx, p)
	}
	return h.node.InvokeCalling(ctx, payload, call)
}

const (
	// lambdaNotice is how long after it said so AWS Lambda kills a process, if it
	// has an internal extension, as WithEnableSIGTERM registers.
	lambdaNotice = 500 * time.Millisecond
	// serviceNotice is how long after SIGTERM Cloud Run kills one.
	serviceNotice = 10 * time.Second
	// answerTime is what the answer of a session under way then has to reach the
	// platform, on the same machine.
	answerTime = 50 * time.Millisecond
)

// noticeOf reads how long after it said so the platform kills the process, from a
// variable that is for platforms that give another time than usual.
func noticeOf(text string, usual time.Duration) (time.Duration, error) {
	if text == "" {
		return usual, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("INFINICACHE_NOTICE is %q, want a time like 10s", text)
	}
	return d, nil
}

// lettingGo is what the node has of a notice to let chunks go: the end of the
// process takes some of it.
func lettingGo(notice time.Duration) time.Duration {
	return notice - min(notice/5, 100*time.Millisecond)
}

// leave returns when the process may end, as the platform wants it to.
func (h *handler) leave() {
	going := h.going.Load() > 0
	h.node.Notice(lettingGo(h.notice))
	if going {
		time.Sleep(answerTime)
	}
}
