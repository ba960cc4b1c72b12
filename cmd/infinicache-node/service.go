package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/infinicache/infinicache/internal/activation"
	"github.com/infinicache/infinicache/internal/bytesize"
	"github.com/infinicache/infinicache/internal/node"
)

// The variables of a service's environment, beside PORT, which has the port at
// which it is invoked.
const (
	// linksVariable is where proxies dial the instance, host:port; without a host at
	// all addresses. "off" is nowhere.
	linksVariable = "INFINICACHE_LINKS"
	// memoryVariable is how much memory the process may have, like 512MiB, where no
	// control group says so.
	memoryVariable = "INFINICACHE_MEMORY"
	// queueVariable is where Knative's queue-proxy answers probes, one or more
	// addresses.
	queueVariable = "INFINICACHE_QUEUE_PROXY"
	// defaultQueue is where it does for services that speak HTTP/2, and for others.
	defaultQueue  = "127.0.0.1:8013,127.0.0.1:8012"
	levelVariable = "INFINICACHE_LOG_LEVEL"
)

// wordPatience is how long a process that has left waits for SIGTERM.
const wordPatience = 2 * time.Minute

// service is the instance as an HTTP service.
type service struct {
	handler
	log    *slog.Logger
	server *http.Server
	door   net.Listener
	links  net.Listener // nil: no proxy dials
	queue  string       // empty: nobody tells of the end before SIGTERM
	asker  *http.Client // of queue
}

// runService serves until ctx ends, which is the platform's wish, and the time that
// it leaves is over or not needed.
func runService(ctx context.Context) error {
	frugal()
	s, err := newService()
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// newService reads the environment, reporting all that is wrong with it, and opens
// the listeners.
func newService() (_ *service, err error) {
	s := &service{queue: os.Getenv(queueVariable), asker: &http.Client{Timeout: queuePatience}}
	if s.queue == "" && os.Getenv("K_REVISION") != "" {
		s.queue = defaultQueue
	}
	level, err := logLevel(levelVariable)
	memory, err2 := serviceMemory(os.Getenv(memoryVariable))
	notice, err3 := noticeOf(os.Getenv("INFINICACHE_NOTICE"), serviceNotice)
	s.notice = notice
	at := os.Getenv(linksVariable)
	if at == "" {
		at = fmt.Sprint(":", activation.LinkPort)
	}
	var err4, err5 error
	var address string
	host := ""
	if at != "off" {
		host, _, err4 = net.SplitHostPort(at)
		if err4 == nil {
			s.links, err4 = net.Listen("tcp", at)
		}
		if err4 != nil {
			err4 = fmt.Errorf("%s is %q: %w", linksVariable, at, err4)
		} else {
			address, err4 = dialable(s.links.Addr())
		}
	}
	if s.door, err5 = net.Listen("tcp", net.JoinHostPort(host, os.Getenv("PORT"))); err5 != nil {
		err5 = fmt.Errorf("PORT is %q: %w", os.Getenv("PORT"), err5)
	}
	if err = errors.Join(err, err2, err3, err4, err5); err == nil {
		s.log = logger(level)
		s.node, err = node.New(node.Config{Memory: memory, Address: address, Watch: true, Loyal: true, Version: version, Logger: s.log})
	}
	if err != nil {
		s.close()
		return nil, err
	}
	visitors := newCrowd(s.door, maxVisitors)
	s.door = visitors
	s.server = &http.Server{
		Handler: activation.New(activation.Config{
			Function: s.play, Instance: s.node.Instance().String(), Init: time.Since(started),
			OnOverrun: func() { os.Exit(1) }, // a session that does not end cannot be ended otherwise
		}),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than proxies on the way keep theirs
		MaxHeaderBytes:    32 << 10,
		// Anybody in the cluster may send, and memory is for chunks.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 16, MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10,
		},
		ConnState: visitors.state,
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols: new(http.Protocols),
	}
	s.server.Protocols.SetHTTP1(true)
	s.server.Protocols.SetUnencryptedHTTP2(true)
	return s, nil
}

func (s *service) close() {
	if s.door != nil {
		s.door.Close()
	}
	if s.links != nil {
		s.links.Close()
	}
}

// run serves until ctx ends. Then, or when queue-proxy says before that it will, the
// proxy is told and takes chunks for as long as the notice allows.
func (s *service) run(ctx context.Context) error {
	served := make(chan error, 2)
	go func() { served <- s.server.Serve(s.door) }()
	linked, unlink := context.WithCancel(context.Background())
	defer unlink()
	if s.links != nil {
		go func() { served <- s.node.Serve(linked, s.links) }()
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.awaitEnd(ctx)
		s.log.Info("the platform ends this instance", "notice", s.notice)
		s.leave()
		// Who heard it early stays until the platform's own word. One that never comes
		// has the process end all the same: it refuses all sessions.
		select {
		case <-ctx.Done():
		case <-time.After(wordPatience):
		}
	}()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-left:
	}
	s.server.Close()
	return nil
}

// awaitEnd returns when the platform says, one way or the other, that it ends the
// instance.
func (s *service) awaitEnd(ctx context.Context) {
	if s.queue == "" {
		<-ctx.Done()
		return
	}
	awaitDraining(ctx, s.asker, strings.Split(s.queue, ","), s.log)
}

// serviceMemory is how many bytes the process may have: what the variable says, or
// its control group; 0 if nobody knows.
func serviceMemory(text string) (int64, error) {
	if text == "" {
		return groupMemory(), nil
	}
	n, ok := bytesize.Parse(text)
	if !ok || n <= 0 {
		return 0, fmt.Errorf("%s is %q, want bytes like 512MiB", memoryVariable, text)
	}
	return n, nil
}

// dialable is where a proxy dials a listener: at its own address, or at the first
// of the machine's that others can reach.
func dialable(at net.Addr) (string, error) {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("%v is not a TCP address", at)
	}
	if !tcp.IP.IsUnspecified() {
		return tcp.String(), nil
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("addresses of this machine: %w", err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return (&net.TCPAddr{IP: n.IP, Port: tcp.Port}).String(), nil
		}
	}
	return "", errors.New("this machine has no address that a proxy could dial; INFINICACHE_LINKS=off does without")
}
