// Package pool is the proxy's side of its nodes: it invokes them when they are
// needed, keeps their links, carries requests to them and answers back, and
// knows which instance of which node holds what and how much. What to do when
// is decided by the lifecycle machine of each node; this package only carries
// its orders out.
package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/spend"
	"github.com/infinicache/infinicache/internal/tlslink"
	"github.com/infinicache/infinicache/internal/wire"
)

// Config describes a pool.
type Config struct {
	// Driver runs the nodes' sessions.
	Driver platform.Driver
	// Nodes is how many places the pool has, 1 to 4,096.
	Nodes int
	// Epoch is the number of the proxy's reign, at least 1.
	Epoch uint64
	// Key is the pool's secret, at least 16 bytes; sessions' secrets are made
	// from it.
	Key []byte
	// Address is where instances dial the proxy, host:port. Empty has the proxy
	// dial the instances, which the platform must allow.
	Address string
	// Dial connects to an instance's address, host:port, and must give up with ctx.
	// Nil means TCP. It is not used with an Address.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Identity is the proxy's own for links that are TLS; nil for links without.
	// With an Address whoever accepts links for the pool makes them TLS by it.
	Identity *tlslink.Identity
	// Capacity is how many bytes of chunks, with what is kept beside them, an
	// instance holds at most.
	Capacity int64
	// Linger is how long a node stays awake after its last request. Default
	// 500 ms.
	Linger pricing.Policy
	// Limits bounds what the pool spends.
	Limits Limits
	// WarmEvery is how often a node that holds something is woken only to keep
	// its instance. Default 1 min; negative is never.
	WarmEvery time.Duration
	// Hold has sessions that only keep an instance last as long as others: with a
	// Linger that does not end by itself, and WarmEvery short, a node that holds
	// something is in session nearly always. It is for platforms where an instance
	// lives as long as its sessions.
	Hold bool
	// Lifecycle tunes the machines; zero fields take its defaults. FirstSession
	// and Seed are set per node.
	Lifecycle lifecycle.Config
	// Seed makes jitter repeatable; 0 is a seed like any other.
	Seed uint64
	// Link tunes the links to nodes.
	Link link.Config
	// Logger takes what the pool has to say; nil is silence.
	Logger *slog.Logger
	// Adopt lets instances keep what they hold from an earlier reign: Remember
	// has told of it, or OnHeard finds out.
	Adopt bool
	// OnLost is told that nobody holds a lot any more: the chunks whose place
	// names it are gone. May be nil. It is called without locks and must not
	// block.
	OnLost func(node, lot uint32)
	// OnHolders is told who holds a lot, whenever that changes; nobody means that
	// the lot is no more. May be nil. It is called with a lock held, before
	// anything is placed there: it must neither block nor call the pool.
	OnHolders func(node, lot uint32, holders []wire.Instance)
	// OnHeard is told that an instance spoke whose chunks date from an earlier
	// reign and were not compared with the catalog yet. May be nil. It is called
	// without locks and must not block.
	OnHeard func(node uint32, instance wire.Instance)
	// OnLeaving is told that the platform ends an instance in so long a time. May
	// be nil. It is called without locks and must not block.
	OnLeaving func(node uint32, instance wire.Instance, left time.Duration)
	// OnFenced is told that an instance knows a reign of a higher epoch: this one
	// is over. May be nil. It is called without locks and must not block.
	OnFenced func(epoch uint64)
}

func (c *Config) check() error {
	var errs []error
	complain := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	complain(c.Driver != nil, "driver is missing")
	complain(c.Nodes >= 1 && c.Nodes <= MaxNodes, "nodes is %d, allowed are 1 to %d", c.Nodes, MaxNodes)
	complain(c.Epoch > 0, "epoch is 0, it starts at 1")
	complain(len(c.Key) >= 16, "key has %d bytes, needs 16 at least", len(c.Key))
	if c.Driver != nil {
		_, inbound := c.Driver.(platform.Inbound)
		complain(c.Address != "" || inbound, "address is missing, and the platform has no way for the proxy to dial instances")
	}
	complain(c.Capacity > 0, "capacity is %d bytes, must be positive", c.Capacity)
	if c.Driver != nil {
		_, err := c.lingerOn()
		complain(err == nil, "linger %v: %w", c.Linger, err)
	}
	return errors.Join(errs...)
}

// watchEvery is how often links on which requests wait are looked at.
const watchEvery = 250 * time.Millisecond

// usualWake is how long requests wait for a node where instances start quickly.
const usualWake = 5 * time.Second

// helloPatience is how long a link may take to say a hello with a good proof.
const helloPatience = 10 * time.Second

// MaxNodes is the most nodes of one pool.
const MaxNodes = 4096

// Pool is all nodes of one proxy. New makes it, Run lets it work.
type Pool struct {
	cfg    Config
	log    *slog.Logger
	linger wire.Linger
	budget *budget
	nodes  atomic.Pointer[[]*node]
	// removed has the last session of each node that a Resize removed. It is
	// Resize's own.
	removed map[uint32]uint64
	start   time.Time
	ctx     context.Context // of Run; sessions and links live in it
	cancel  context.CancelCauseFunc

	releasing sync.Mutex // while it is counted who gives way; taken before that of a node

	work     sync.WaitGroup // invocations
	lost     atomic.Uint64  // instances
	lots     atomic.Uint32  // numbers given out
	links    atomic.Uint64  // numbers given out
	calls    atomic.Uint64  // numbers given out
	replaced chan struct{}  // see Replaced; capacity 1
	live     atomic.Bool    // an earlier reign ended with sessions running
	blocks   sync.Pool      // of *relayed: blocks between instances
}

// New makes a pool whose nodes all sleep. All complaints about cfg come at once.
func New(cfg Config) (*Pool, error) {
	if cfg.Linger == (pricing.Policy{}) {
		cfg.Linger = pricing.Fixed(500 * time.Millisecond)
	}
	if cfg.Lifecycle.PingBudget == 0 {
		// Both ends may share a machine with much else to do; a second instance
		// costs more than a late verdict.
		cfg.Lifecycle.PingBudget = time.Second
	}
	if cfg.Lifecycle.WakeBudget == 0 && cfg.Driver != nil {
		cfg.Lifecycle.WakeBudget = usualWake + cfg.Driver.Capabilities().ColdStart
	}
	if cfg.WarmEvery == 0 {
		cfg.WarmEvery = time.Minute
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	p := &Pool{replaced: make(chan struct{}, 1), cfg: cfg, log: cfg.Logger, start: time.Now(), removed: map[uint32]uint64{}}
	p.linger, _ = cfg.lingerOn() // check found no fault in it
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if p.budget, err = newBudget(&p.cfg); err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	if p.cfg.Dial == nil {
		var d net.Dialer
		p.cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	if err := p.resize(cfg.Nodes); err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	if cfg.Adopt {
		for _, n := range p.all() {
			n.quiet = time.Now().Add(settleFor)
		}
	}
	return p, nil
}

// all is every node, in order. The slice is not changed any more.
func (p *Pool) all() []*node { return *p.nodes.Load() }

// node is the one with a number; nil if there is none.
func (p *Pool) node(number uint32) *node {
	if all := p.all(); int64(number) < int64(len(all)) {
		return all[number]
	}
	return nil
}

// Run looks after silent links until ctx ends; then it stops every node's
// machine, closes the links, and returns when the sessions are over.
func (p *Pool) Run(ctx context.Context) error {
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	tripped := spend.None
	for _, n := range p.all() {
		n.mu.Lock()
		after := n.tellHeld(nil) // what is remembered of an earlier reign
		n.mu.Unlock()
		run(after)
	}
	for {
		select {
		case <-watch.C:
			tripped = p.watchBreaker(tripped)
			for _, n := range p.all() {
				n.watch()
			}
		case <-ctx.Done():
			for _, n := range p.all() {
				n.stop()
			}
			p.cancel(wire.ErrClosed)
			p.work.Wait()
			return nil
		}
	}
}

// now is the machines' time.
func (p *Pool) now() time.Duration { return time.Since(p.start) }

// Nodes is how many places the pool has.
func (p *Pool) Nodes() int { return len(p.all()) }

// Capacity is how many bytes one instance holds at most.
func (p *Pool) Capacity() int64 { return p.cfg.Capacity }

// Epoch is the number of this reign.
func (p *Pool) Epoch() uint64 { return p.cfg.Epoch }

// Serve runs the link of a node that dialled and was greeted, until it ends. It
// owns nc. known is called when a hello has proved that it is a node's.
func (p *Pool) Serve(nc net.Conn, known func()) { p.serve(nc, p.cfg.Link, known) }

func (p *Pool) serve(nc net.Conn, cfg link.Config, known func()) {
	l := &nodeLink{
		pool: p, known: known, number: p.links.Add(1),
		conn: link.New(nc, cfg), calls: map[uint32]*Call{},
	}
	l.patience = time.AfterFunc(helloPatience, func() {
		l.conn.Close(wire.Errorf(wire.CodeTimeout, "no hello within %v", helloPatience))
	})
	err := l.conn.Run(p.ctx, l)
	l.patience.Stop()
	if l.s != nil {
		l.s.unlink(l, err)
		return
	}
	p.log.Debug("link ended before its hello", "remote", nc.RemoteAddr(), "err", err)
}
