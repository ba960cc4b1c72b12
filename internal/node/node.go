// Package node is the function's side of the cache: an instance that joins its
// proxy when it is invoked, keeps chunks and serves them, and returns when the
// proxy agrees that it may sleep.
//
// It decides nothing about sessions: lifecycle.Instance does, and the package
// tells it what happens and carries out what it orders. All of a Node's state
// is guarded by one mutex, which is never held while anything waits; bodies are
// read into the store and written from it without that mutex.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// ErrClosed is Invoke's error after Close.
var ErrClosed = errors.New("node is closed")

// Config is what a Node needs to know before its first invocation.
type Config struct {
	// Dial connects to a proxy's address, host:port, and must give up with ctx.
	// Nil means TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Address is where Serve listens, as proxies see it: an IP address with a
	// port. Empty where no proxy can dial the instance; it then refuses an
	// invocation that names no proxy to dial.
	Address string
	// Watch has links watched (link.Config.Watch): where the platform does not freeze
	// instances, so that nothing but a system that answers tells of a proxy that is gone.
	Watch bool
	// Loyal has an instance that holds chunks obey only the proxy that signed the
	// invocations by which it got them: where not the platform sees to it that only
	// the proxy invokes. An instance that holds nothing obeys anybody.
	Loyal bool
	// Memory is how many bytes the platform allows the process. It bounds what
	// an invocation may ask the instance to hold, see store.CapacityOf. 0 means
	// that nobody knows: then every invocation must name a capacity.
	Memory int64
	// Version is the program's, for the log.
	Version string
	// Logger gets a word per session at Debug and complaints above it. Nil
	// discards them.
	Logger *slog.Logger
}

// Node is one instance. It is made once in a process's life.
type Node struct {
	cfg      Config
	log      *slog.Logger
	instance wire.Instance
	identity *tlslink.Identity // nil without Address
	origin   time.Time         // of the machine's clock
	running  sync.WaitGroup    // dials and links

	mu       sync.Mutex
	closed   bool
	machine  lifecycle.Instance
	acts     []lifecycle.Action // memory for the machine's orders
	timers   map[lifecycle.Timer]*time.Timer
	over     int // requests that ended and that the machine has not heard of
	session  *session
	dial     *dial                 // under way
	links    map[uint64]*proxyLink // that have not ended, by number
	lastLink uint64
	store    *store.Store // nil before the first session
	node     uint32       // whose chunks the store holds
	signer   []byte       // key of the proxy that had the last session; nil for none
	history  history
	listing  *listing      // the newest, if its goroutine has not ended
	leave    chan struct{} // closed when the process may end; nil where nobody waits
}

// New makes an instance with an identity of its own. It starts nothing.
func New(cfg Config) (*Node, error) {
	if cfg.Memory != 0 && store.CapacityOf(cfg.Memory) < store.MinCapacity {
		return nil, fmt.Errorf("node: Memory is %d bytes, too few to hold anything", cfg.Memory)
	}
	if cfg.Dial == nil {
		var d net.Dialer
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{
		cfg:     cfg,
		origin:  time.Now(),
		timers:  map[lifecycle.Timer]*time.Timer{},
		links:   map[uint64]*proxyLink{},
		history: newHistory(),
	}
	rand.Read(n.instance[:]) // never fails
	if cfg.Address != "" {
		var err error
		if n.identity, err = tlslink.New(); err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
	}
	n.log = cfg.Logger.With("instance", n.instance)
	n.log.Debug("instance begins", "version", cfg.Version, "memory", cfg.Memory)
	return n, nil
}

// Instance is the identity of this one.
func (n *Node) Instance() wire.Instance { return n.instance }

// Close ends the session under way, if any, with a word to the proxy, and gives
// everything back. It returns when no goroutine of the Node is left.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closed = true
	n.step(lifecycle.Event{Kind: lifecycle.OnNotice})
	s := n.store
	n.mu.Unlock()
	n.running.Wait()
	if s == nil {
		return nil
	}
	return s.Close()
}
