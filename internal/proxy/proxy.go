// Package proxy owns a pool of nodes and the catalog of what they hold. It
// serves client libraries over the chunk door and, inside the process, front
// doors; it places chunks, counts what nodes confirm, makes versions visible,
// evicts, repairs, and explains every miss.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/link"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// Config describes a proxy.
type Config struct {
	// Pool describes the nodes. Its callbacks are the proxy's own.
	Pool pool.Config
	// Shape is d+p of every object; zero means by size and pool.
	Shape object.Shape
	// RelayBudget bounds the bytes of blocks on their way through the proxy
	// between clients and nodes. Default 64 MiB.
	RelayBudget int64
	// StripeBudget bounds the bytes of stripes that front doors and repair hold.
	// Default 64 MiB.
	StripeBudget int64
	// MaxClients bounds the links of clients. Default 4,096.
	MaxClients int
	// Client tunes the links of clients.
	Client link.Config
	// RepairRate bounds the bytes a second that repair moves: those of the stripes
	// that it reads, and of the chunks that it stores anew. Lower it where repair
	// after a mass reclaim disturbs serving. Default 64 MiB; negative is no limit.
	RepairRate int64
	// BackupEvery is how often a node with changes is backed up to a second
	// instance of it, where the platform gives one. Default 5 min; negative is
	// never.
	BackupEvery time.Duration
	// JournalDir is where the journal is kept, so that a proxy started again
	// serves what its nodes still hold; empty means that nothing is kept.
	JournalDir string
	// JournalEvery has first versions of a key on disk, too, before they are
	// acknowledged. By default only what replaces or removes is.
	JournalEvery bool
	// Adopt has a proxy without a usable journal take over what the nodes hold.
	// Objects that were deleted or replaced may come back by that. With an
	// EncryptionKey only sealed ones are taken over: nodes could forge others.
	Adopt bool
	// EncryptionKey, of seal.KeySize bytes, has the front doors seal what they store
	// and open what they read; nil: they store what they are given. What clients
	// store is sealed or not as they like.
	EncryptionKey []byte
	// Grace is how long a shutdown waits for requests under way. Default 5 s.
	Grace time.Duration
	// Seed makes placement repeatable; 0 is a seed like any other.
	Seed uint64
	// Registerer takes the metrics; nil keeps them private.
	Registerer prometheus.Registerer
	// Logger takes what the proxy has to say; nil is silence.
	Logger *slog.Logger
}

// Proxy is one proxy with its pool. New makes it, Run lets it work.
type Proxy struct {
	cfg     Config
	log     *slog.Logger
	pool    *pool.Pool
	catalog *catalog.Catalog
	codes   erasure.Codes
	key     *seal.Key // of the front doors; nil for none
	buffers *stripe.Buffers
	tail    *stripe.Tail
	relay   *budget
	blocks  sync.Pool // of *relayBlock
	metrics *metrics
	repairs *repairs
	uploads uploads
	apart   apart
	backups *backups
	journal *journal.Journal // nil for none
	adopted *adoption        // nil unless it adopts

	untold untold // for the journal

	overthrown atomic.Uint64 // epoch of the proxy that took the pool over
	fence      chan struct{} // closed then

	rngMu sync.Mutex
	rng   *rand.Rand

	room *semaphore.Weighted // one placement at a time makes room

	ctx     context.Context // of everything that outlives a call
	cancel  context.CancelCauseFunc
	work    tasks
	links   tasks // of clients and nodes
	clients clients

	resizing sync.Mutex // of Resize, Drain and Admit: none waits for another
}

// New makes a proxy. All complaints about cfg come at once.
func New(cfg Config) (*Proxy, error) {
	setDefault(&cfg.RelayBudget, 64<<20)
	setDefault(&cfg.StripeBudget, 64<<20)
	setDefault(&cfg.MaxClients, 4096)
	setDefault(&cfg.RepairRate, 64<<20)
	setDefault(&cfg.Grace, 5*time.Second)
	setDefault(&cfg.BackupEvery, 5*time.Minute)
	p := &Proxy{
		cfg: cfg, log: cfg.Logger,
		buffers: stripe.NewBuffers(cfg.StripeBudget),
		tail:    stripe.NewTail(),
		relay:   newBudget(cfg.RelayBudget),
		metrics: newMetrics(),
		room:    semaphore.NewWeighted(1),
		rng:     rand.New(rand.NewPCG(cfg.Seed, 0x1f1)),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.fence = make(chan struct{})
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.blocks.New = func() any { return &relayBlock{proxy: p, mem: make([]byte, wire.BlockSize)} }
	p.repairs = newRepairs(p)
	p.backups = &backups{p: p, every: cfg.BackupEvery}
	var errs []error
	if cfg.RelayBudget < minShare {
		errs = append(errs, fmt.Errorf("relay budget is %d bytes, needs %d at least", cfg.RelayBudget, minShare))
	}
	if cfg.Shape != (object.Shape{}) {
		if err := placement.CheckShape(cfg.Shape); err != nil {
			errs = append(errs, err)
		}
	}
	if cfg.EncryptionKey != nil {
		var err error
		if p.key, err = seal.NewKey(cfg.EncryptionKey); err != nil {
			errs = append(errs, fmt.Errorf("encryption key: %w", err))
		}
	}
	var state *journal.State
	if len(errs) == 0 {
		var err error
		if state, err = p.openJournal(); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
	}
	if err := p.assemble(state, errs); err != nil {
		if p.journal != nil {
			err = errors.Join(err, p.journal.Close())
		}
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return p, nil
}

// assemble makes the parts that depend on what the journal says, and adds its
// complaints to errs.
func (p *Proxy) assemble(state *journal.State, errs []error) (err error) {
	cfg := &p.cfg
	cat := catalog.Config{Epoch: cfg.Pool.Epoch, OnFree: p.free}
	if p.journal != nil {
		cat.Journal = p.journal
	}
	if p.catalog, err = catalog.New(cat); err != nil {
		errs = append(errs, err)
	}
	cfg.Pool.OnLost, cfg.Pool.OnLeaving, cfg.Pool.OnHeard = p.lost, p.leaving, p.heard
	cfg.Pool.OnHolders, cfg.Pool.OnFenced = p.holders, p.fenced
	if p.pool, err = pool.New(cfg.Pool); err != nil {
		errs = append(errs, err)
	}
	if cfg.Adopt && (state == nil || state.Fresh || state.Info[adopting] != "") {
		p.adopted = &adoption{p: p, versions: map[uint64]*foundling{}}
	}
	if len(errs) == 0 {
		errs = append(errs, p.resume(state))
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(collector{p}); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Run works until ctx ends. Then it stops in this order: clients' new requests
// are refused and those under way get the grace to end; clients' links close;
// repair stops; nodes' links close and their sessions are awaited; what is queued
// for the journal is written. Its error matches ErrFenced if another proxy took the
// pool over.
func (p *Proxy) Run(ctx context.Context) (err error) {
	background := context.WithoutCancel(ctx)
	if p.journal != nil {
		writing, stopWriting := context.WithCancel(background)
		written := make(chan error, 1)
		go func() { written <- p.journal.Run(writing) }()
		defer func() {
			stopWriting()
			err = errors.Join(err, <-written, p.journal.Close())
		}()
	}
	nodes, stopNodes := context.WithCancel(background)
	defer stopNodes()
	poolEnded := make(chan error, 1)
	go func() { poolEnded <- p.pool.Run(nodes) }()
	p.work.Go(p.expire)
	p.work.Go(p.watchReaders)
	p.work.Go(p.repairs.run)
	if p.cfg.BackupEvery > 0 && p.cfg.Pool.Driver.Capabilities().SecondInstance {
		p.work.Go(p.backups.run)
	}

	if p.adopted != nil {
		p.work.Go(p.adopted.run)
	}
	if _, overlapping := p.cfg.Pool.Driver.(platform.Overlapping); overlapping {
		p.work.Go(p.succeed)
	}

	var fenced error
	select {
	case <-ctx.Done():
	case <-p.fence:
		fenced = fmt.Errorf("%w: %w", ErrFenced, p.reigns())
	}
	p.clients.drain(p.cfg.Grace)
	p.cancel(wire.ErrClosed)
	p.work.Wait()
	stopNodes()
	err = <-poolEnded
	p.links.Wait()
	return errors.Join(fenced, err)
}

// ServeLinks accepts links of clients and nodes, told apart by their preface,
// until the listener is closed or ctx ends, when it closes it. The links live
// on; Run ends them.
//
// Connections of which it is not known yet whose they are have some seconds to say
// so, and are bounded in number; too many have the one go that was there the longest.
func (p *Proxy) ServeLinks(ctx context.Context, l net.Listener, roles ...wire.Role) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var door link.Greetings
	var told time.Time // of too many
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			p.log.Warn("accept failed", "err", err)
			select {
			case <-time.After(acceptPause):
				continue
			case <-ctx.Done():
				return nil
			}
		}
		// All nodes may dial at once, from both of their seats.
		most := max(minGreetings, 2*p.pool.Nodes())
		if door.Enter(nc, most) {
			p.metrics.refused.Add(1)
			if time.Since(told) >= tellEvery {
				told = time.Now()
				p.log.Warn("too many connections do not say whose they are; the oldest are closed", "address", l.Addr(), "limit", most)
			}
		}
		if !p.links.Go(func() { p.greet(nc, roles, &door) }) {
			nc.Close()
			return nil
		}
	}
}

const (
	// acceptPause is how long a listener rests when the system is out of
	// descriptors or the like.
	acceptPause = 100 * time.Millisecond
	// greetPatience is how long a new connection may take for its preface.
	greetPatience = 5 * time.Second
	// minGreetings is how many connections of which it is not known whose they are a
	// listener has at most where the pool is small. A larger one has two for each node.
	minGreetings = 512
	// tellEvery is how often the log is told of too many.
	tellEvery = time.Minute
)

// greet finds out who dialled and serves the link. A client is known by its preface,
// a node by the proof in its hello.
func (p *Proxy) greet(nc net.Conn, roles []wire.Role, door *link.Greetings) {
	defer door.Leave(nc)
	stop := context.AfterFunc(p.ctx, func() { nc.Close() })
	role, err := link.Greet(nc, wire.RoleProxy, greetPatience)
	stop()
	if err == nil && !allowed(role, roles) {
		err = wire.Errorf(wire.CodeRequest, "links of a %v are not served at this address", role)
	}
	if err != nil {
		nc.Close()
		if door.Leave(nc) {
			p.log.Info("connection refused", "remote", nc.RemoteAddr(), "err", err)
			p.metrics.refused.Add(1)
		}
		return
	}
	if role == wire.RoleNode {
		p.pool.Serve(nc, func() { door.Leave(nc) })
		return
	}
	door.Leave(nc)
	p.serveClient(nc)
}

func allowed(role wire.Role, roles []wire.Role) bool {
	for _, r := range roles {
		if r == role {
			return true
		}
	}
	return len(roles) == 0
}

// hotFor is how lately an object was read whose lost chunks are put back at once.
// Others wait until they are read again.
const hotFor = 10 * time.Minute

// lost hears of a lot that nobody holds any more.
func (p *Proxy) lost(node, lot uint32) {
	p.work.Go(func() {
		p.catalog.LoseInstance(lot, func(d catalog.Damage) {
			switch {
			case d.Fatal():
				p.lose(d.Record.Key, d.Record.Version, wire.CauseLost)
			case time.Since(d.LastRead) < hotFor:
				p.repairs.ask(d.Record.Key, d.Record.Version)
			}
		})
	})
}

// lose makes a version that cannot be read any more a miss.
func (p *Proxy) lose(key string, version uint64, cause wire.Cause) {
	if p.catalog.Lose(key, version, cause) {
		p.metrics.objectsLost.Add(1)
		p.log.Info("object lost", "key", hashed(key), "cause", cause)
	}
}

// free passes on to the pool that nobody needs a version's chunks any more.
func (p *Proxy) free(f catalog.Freed) {
	record := len(f.Record.Append(nil))
	for _, c := range f.Chunks {
		chunk := wire.Chunk{Version: f.Record.Version, Stripe: c.Stripe, Index: c.Chunk}
		p.pool.Free(c.Place, chunk, pool.Cost(int(c.Size), record))
	}
}

// expire takes expired objects out, so that they make room without being read.
func (p *Proxy) expire() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			for p.catalog.ExpireDue(now, 256) == 256 && p.ctx.Err() == nil {
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// hashed names a key in logs without telling it.
func hashed(key string) slog.Value {
	return slog.StringValue(fmt.Sprintf("%016x", placement.Hash(key)))
}
