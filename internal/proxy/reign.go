package proxy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/place"
	"github.com/infinicache/infinicache/internal/wire"
)

// ErrFenced is Run's error when a proxy of a higher epoch has taken the pool over.
var ErrFenced = errors.New("another proxy reigns over the pool")

// openJournal opens the journal, if there is to be one, and begins a reign above
// every earlier one that is known. A journal that cannot be read is set aside:
// what it named is then unknown, and the nodes drop it.
func (p *Proxy) openJournal() (*journal.State, error) {
	cfg := &p.cfg
	if cfg.JournalDir == "" {
		cfg.Pool.Adopt = cfg.Adopt
		return nil, nil
	}
	open := func() (j *journal.Journal, s *journal.State, err error) {
		return journal.Open(cfg.JournalDir, journal.Config{Every: cfg.JournalEvery, Log: p.log})
	}
	j, state, err := open()
	if errors.Is(err, journal.ErrCorrupt) {
		file := filepath.Join(cfg.JournalDir, journal.File)
		aside := file + ".unusable-" + strconv.FormatUint(cfg.Pool.Epoch, 10)
		p.log.Error("journal unusable: its objects are forgotten", "err", err, "kept", aside, "adopt", cfg.Adopt)
		if err := os.Rename(file, aside); err != nil {
			return nil, fmt.Errorf("set the journal aside: %w", err)
		}
		j, state, err = open()
	}
	if err != nil {
		return nil, err
	}
	cfg.Pool.Epoch = max(cfg.Pool.Epoch, state.Epoch+1)
	cfg.Pool.Adopt = !state.Fresh || cfg.Adopt
	if err := j.Reign(cfg.Pool.Epoch); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	p.journal = j
	if cfg.Adopt && state.Fresh {
		if err := j.SetInfo(map[string]string{adopting: "yes"}); err != nil {
			return nil, errors.Join(err, j.Close())
		}
	}
	return state, nil
}

// adopting is in the journal's notes until an adoption is over, so that one that
// was cut short is begun again.
const adopting = "adopting"

// resume takes over what an earlier reign left in the journal: the objects, and
// which instances hold their chunks. Those are heard of as their nodes wake.
func (p *Proxy) resume(state *journal.State) error {
	if state == nil || state.Fresh {
		return nil
	}
	chunks := map[uint32]int{} // by lot
	var failed error
	err := state.Each(func(r wire.Record, places []place.Place) bool {
		before := p.catalog.Len()
		if failed = p.catalog.Restore(r, places); p.catalog.Len() == before {
			return failed == nil // it is expired
		}
		for _, at := range places {
			chunks[at.Instance]++
		}
		return true
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("restore from the journal: %w", err)
	}
	// A lot that is named and has no holders was lost; its number is taken.
	lots := slices.AppendSeq(slices.Collect(maps.Keys(chunks)), maps.Keys(state.Holders))
	slices.Sort(lots)
	for _, number := range slices.Compact(lots) {
		h := state.Holders[number]
		p.pool.Remember(h.Node, number, h.Instances, chunks[number])
	}
	p.log.Info("restored from the journal", "objects", p.catalog.Len(), "bytes", p.catalog.Bytes(),
		"epoch", p.cfg.Pool.Epoch, "before", state.Epoch)
	return nil
}

// untold are the lots of whose holders the journal has yet to hear, because it
// failed when it was told.
type untold struct {
	mu      sync.Mutex
	lots    map[uint32]journal.Holder
	telling bool
}

// holders writes down who holds a lot. It is in the journal before anything that
// is placed there.
func (p *Proxy) holders(node, lot uint32, instances []wire.Instance) {
	if p.journal == nil {
		return
	}
	u := &p.untold
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.lots, lot)
	if len(instances) == 0 {
		p.journal.DropHolder(lot)
		return
	}
	if _, err := p.journal.Holder(lot, node, instances); err != nil {
		p.log.Warn("holders of a lot not in the journal yet", "node", node, "lot", lot, "err", err)
		if u.lots == nil {
			u.lots = map[uint32]journal.Holder{}
		}
		u.lots[lot] = journal.Holder{Node: node, Instances: instances}
		if !u.telling {
			u.telling = p.work.Go(p.tellHolders)
		}
	}
}

// holdersRetry is how long to wait before a journal that fails is told again who
// holds a lot. It refuses objects meanwhile, so nothing is placed there.
const holdersRetry = 500 * time.Millisecond

// tellHolders tells the journal what it has yet to hear, until it has.
func (p *Proxy) tellHolders() {
	tick := time.NewTicker(holdersRetry)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
			return
		}
		if p.untold.tell(p.journal) {
			return
		}
	}
}

// tell reports whether the journal has heard of all lots.
func (u *untold) tell(j *journal.Journal) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for lot, h := range u.lots {
		if _, err := j.Holder(lot, h.Node, h.Instances); err != nil {
			return false
		}
		delete(u.lots, lot)
	}
	u.telling = false
	return true
}

// fenced hears that an instance knows a higher epoch: this reign is over. What is
// asked from now on is refused, and Run ends.
func (p *Proxy) fenced(epoch uint64) {
	if p.overthrown.CompareAndSwap(0, epoch) {
		p.log.Error("another proxy reigns over the pool: this one ends", "epoch", p.cfg.Pool.Epoch, "other", epoch)
		close(p.fence)
	}
}

// reigns is the error of a request after another proxy has taken the pool over.
func (p *Proxy) reigns() error {
	if epoch := p.overthrown.Load(); epoch != 0 {
		return wire.Errorf(wire.CodeStale, "a proxy of epoch %d reigns over the pool, this one is of epoch %d", epoch, p.cfg.Pool.Epoch)
	}
	return nil
}
