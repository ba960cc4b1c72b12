package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/spend"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// maxRepairs bounds the objects that wait for repair. One more is not
	// repaired until it is read again.
	maxRepairs = 4096
	// repairPause is how long an object whose repair failed is left alone: its
	// readers find the chunk missing each time.
	repairPause = 10 * time.Second
	// repairBudget bounds the repair of one stripe.
	repairBudget = 30 * time.Second
	// repairBurst is how many bytes a budget that has rested allows at once, at
	// least: any one stripe with what is stored of it anew.
	repairBurst = 32 << 20
)

// repairs puts back chunks that were found missing, one object at a time, behind
// the readers' backs. The reader that reconstructs does not do it itself: a
// client's bytes are not trusted with another's object, and a range read has not
// got the whole chunk.
type repairs struct {
	p      *Proxy
	wake   chan struct{} // capacity 1: there is work
	budget *spend.Bucket // of bytes
	began  time.Time     // origin of its time

	mu    sync.Mutex
	queue []repair
	// asked has what waits or is under way, with the zero time, and what failed,
	// with the time until which it is not tried again.
	asked map[repair]time.Time
}

type repair struct {
	key     string
	version uint64
}

func newRepairs(p *Proxy) *repairs {
	r := &repairs{p: p, wake: make(chan struct{}, 1), asked: map[repair]time.Time{}, began: time.Now()}
	if rate := float64(p.cfg.RepairRate); rate > 0 {
		r.budget = spend.NewBucket(rate, max(rate, repairBurst))
	} else {
		r.budget = new(spend.Bucket)
	}
	return r
}

// afford waits until the budget allows so many bytes more. Its error is that of the
// proxy's end.
func (r *repairs) afford(bytes int64) error {
	for {
		ok, again := r.budget.Take(time.Since(r.began), min(bytes, repairBurst))
		if ok {
			return nil
		}
		select {
		case <-time.After(again):
		case <-r.p.ctx.Done():
			return context.Cause(r.p.ctx)
		}
	}
}

// ask wants a version to be repaired. It does not block.
func (r *repairs) ask(key string, version uint64) {
	job := repair{key, version}
	r.mu.Lock()
	if !r.barred(job, time.Now()) {
		r.asked[job] = time.Time{}
		r.queue = append(r.queue, job)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// barred tells whether a job is not to be queued now. r.mu is held.
func (r *repairs) barred(job repair, now time.Time) bool {
	if until, ok := r.asked[job]; ok {
		return until.IsZero() || now.Before(until)
	}
	if len(r.asked) >= maxRepairs {
		for failed, until := range r.asked {
			if !until.IsZero() && !now.Before(until) {
				delete(r.asked, failed)
			}
		}
	}
	return len(r.asked) >= maxRepairs
}

// done ends a job; one that failed rests.
func (r *repairs) done(job repair, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failed {
		r.asked[job] = time.Now().Add(repairPause)
	} else {
		delete(r.asked, job)
	}
}

// waiting is how many objects wait.
func (r *repairs) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

// run repairs until the proxy ends.
func (r *repairs) run() {
	for {
		r.mu.Lock()
		var job repair
		some := len(r.queue) > 0
		if some {
			job, r.queue = r.queue[0], r.queue[1:]
		}
		r.mu.Unlock()
		if !some {
			select {
			case <-r.wake:
				continue
			case <-r.p.ctx.Done():
				return
			}
		}
		err := r.p.repair(job)
		if err != nil && r.p.ctx.Err() == nil {
			r.p.metrics.repairsFailed.Add(1)
			r.p.log.Info("repair failed", "key", hashed(job.key), "err", err)
		}
		r.done(job, err != nil)
	}
}

// repair puts back the missing chunks of one version.
func (p *Proxy) repair(job repair) error {
	pin := p.catalog.PinVersion(job.key, job.version)
	if pin == nil {
		return nil // replaced or gone meanwhile
	}
	defer pin.Release()
	rec := pin.Record()
	cut := placement.Stripes{Size: rec.Size, Stripe: rec.Stripe}
	engine := p.readerFor(pin, lifecycle.Repair)
	for i := range cut.Count() {
		if err := p.repairStripe(pin, rec, engine, cut, i); err != nil {
			if errors.Is(err, wire.ErrLost) && p.beyondRepair(pin) {
				p.lose(job.key, job.version, wire.CauseLost)
			}
			return fmt.Errorf("stripe %d: %w", i, err)
		}
	}
	return nil
}

// missing lists the chunks of a stripe that are known gone. An unheard one may
// come back and is not among them.
func (p *Proxy) missing(l erasure.Layout, places []catalog.Place) (gone []int) {
	for i, at := range places {
		if l.Len(i) > 0 && p.pool.State(at) == pool.Lost {
			gone = append(gone, i)
		}
	}
	return gone
}

// beyondRepair tells whether a stripe has more than p chunks that are known gone.
func (p *Proxy) beyondRepair(pin *catalog.Pin) bool {
	rec := pin.Record()
	cut := placement.Stripes{Size: rec.Size, Stripe: rec.Stripe}
	var row [wire.MaxChunks]catalog.Place
	for i := range cut.Count() {
		l := erasure.NewLayout(cut.Len(i), int(rec.Data), int(rec.Parity))
		if len(p.missing(l, pin.Places(uint32(i), row[:0]))) > int(rec.Parity) {
			return true
		}
	}
	return false
}

// repairStripe reads a stripe as a door would, codes what is missing anew, and
// stores it on nodes that hold no other chunk of the stripe.
func (p *Proxy) repairStripe(pin *catalog.Pin, rec wire.Record, engine *stripe.Reader, cut placement.Stripes, i int) error {
	l := erasure.NewLayout(cut.Len(i), int(rec.Data), int(rec.Parity))
	places := pin.Places(uint32(i), nil)
	gone := p.missing(l, places)
	if len(gone) == 0 {
		return nil
	}
	if err := p.repairs.afford(l.Length() + int64(len(gone)*l.ChunkSize())); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, repairBudget)
	defer cancel()
	body := make([]byte, l.Length())
	if _, err := engine.ReadInto(ctx, body, cut.Offset(i)); err != nil {
		return err
	}
	chunks := l.Split(body)
	for len(chunks) < l.Chunks() {
		chunks = append(chunks, make([]byte, l.ChunkSize()))
	}
	code, err := p.codes.Get(l.Data(), l.Parity())
	if err != nil {
		return err
	}
	if err := code.Encode(chunks[:l.Data()], chunks[l.Data():]); err != nil {
		return err
	}
	members := make([]uint32, len(places))
	for k, at := range places {
		members[k] = at.Node
	}
	record := rec.Append(nil)
	for _, g := range gone {
		at, err := p.restore(ctx, rec.Version, uint32(i), uint16(g), chunks[g], record, members)
		if err != nil {
			return fmt.Errorf("chunk %d: %w", g, err)
		}
		if !movePlace(pin, uint32(i), g, places[g], at) {
			p.freeChunk(at, rec.Version, uint32(i), uint16(g), len(chunks[g]), len(record))
			return nil
		}
		members[g] = at.Node
		p.metrics.chunksRepaired.Add(1)
	}
	return nil
}

// movePlace moves a chunk from a place that is lost. Meanwhile the catalog may
// have been told so, and name nobody.
func movePlace(pin *catalog.Pin, number uint32, chunk int, lost, at catalog.Place) bool {
	return pin.SetPlace(number, chunk, lost, at) ||
		pin.SetPlace(number, chunk, catalog.Place{Node: lost.Node}, at)
}

// restore stores one chunk on a node outside members, or on the very node that
// lost it if there is no other; where that has left the pool, beside another chunk
// of the stripe.
func (p *Proxy) restore(ctx context.Context, version uint64, number uint32, index uint16, body, record []byte, members []uint32) (catalog.Place, error) {
	cost := pool.Cost(len(body), len(record))
	nodes, err := p.tryPlace(1, cost, members)
	if errors.Is(err, placement.ErrTooFewNodes) {
		if nodes = []uint32{members[index]}; p.reserve(nodes, cost) {
			err = nil
		} else {
			nodes, err = p.tryBeside(cost, members)
		}
	}
	if err != nil {
		return catalog.Place{}, err
	}
	type answer struct {
		at  catalog.Place
		err error
	}
	got := make(chan answer, 1)
	chunk := wire.Chunk{Version: version, Stripe: number, Index: index}
	call := p.pool.Store(nodes[0], chunk, uint32(len(body)), record, lifecycle.Repair, func(at catalog.Place, err error) {
		got <- answer{at, err}
	})
	for at, k := 0, uint32(0); at < len(body); k++ {
		part := body[at:min(at+wire.BlockSize, len(body))]
		sum := wire.Checksum(version, number, index, k, part)
		call.Block(wire.Block{Stripe: number, Chunk: index, Index: k, Sum: sum}, part, kept{})
		at += len(part)
	}
	select {
	case a := <-got:
		return a.at, a.err
	case <-ctx.Done():
		call.Cancel()
		a := <-got
		return a.at, a.err
	}
}

// kept is the Releaser of memory that the garbage collector looks after.
type kept struct{}

// Release implements link.Releaser.
func (kept) Release() {}
