// Command infinicache-node is the function that holds a cache's chunks. It runs
// where functions run, AWS Lambda or the platform that `infinicache up` embeds,
// and is of no use at a prompt.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/infinicache/infinicache/internal/node"
)

// version is set when the binary is linked.
var version = "devel"

func main() {
	show := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *show {
		fmt.Println("infinicache-node", version)
		return
	}
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		fmt.Fprintln(os.Stderr, "infinicache-node is the function that holds a cache's chunks: a function platform starts it.\n"+
			"Deploy it to one, or run `infinicache up`, which brings its own.")
		os.Exit(2)
	}
	h, err := configure()
	if err != nil {
		fmt.Fprintln(os.Stderr, "infinicache-node:", err)
		os.Exit(2)
	}
	lambda.StartWithOptions(h, lambda.WithEnableSIGTERM(func() {
		h.leave()
		os.Exit(0)
	}))
}

// configure reads the environment, which is the platform's, and reports all
// that is wrong with it.
func configure() (*handler, error) {
	frugal()
	level, err := logLevel(os.Getenv("AWS_LAMBDA_LOG_LEVEL"))
	memory, err2 := memoryLimit(os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"))
	notice, err3 := noticeOf(os.Getenv("INFINICACHE_NOTICE"))
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	n, err := node.New(node.Config{
		Memory:  memory,
		Version: version,
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	return &handler{node: n, notice: notice}, err
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

// logLevel reads the platform's name of a level; none means INFO.
func logLevel(name string) (level slog.Level, err error) {
	switch name {
	case "":
		return slog.LevelInfo, nil
	case "TRACE":
		return slog.LevelDebug, nil
	case "FATAL":
		return slog.LevelError, nil
	}
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("AWS_LAMBDA_LOG_LEVEL is %q, allowed are TRACE, DEBUG, INFO, WARN, ERROR and FATAL", name)
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
	h.going.Add(1)
	defer h.going.Add(-1)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return h.node.Invoke(ctx, payload)
}

const (
	// defaultNotice is how long after it said so AWS Lambda kills a process, if it
	// has an internal extension, as WithEnableSIGTERM registers.
	defaultNotice = 500 * time.Millisecond
	// answerTime is what the answer of a session under way then has to reach the
	// platform, on the same machine.
	answerTime = 50 * time.Millisecond
)

// noticeOf reads how long after SIGTERM the platform kills the process, from a
// variable that is for platforms that give another time than AWS Lambda.
func noticeOf(text string) (time.Duration, error) {
	if text == "" {
		return defaultNotice, nil
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
