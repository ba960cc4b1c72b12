package proxy

import (
	"context"
	"time"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// reconcileBudget bounds the listing of what one instance holds.
const reconcileBudget = time.Minute

// heard hears of an instance that speaks for the first time in this reign and
// holds chunks of an earlier one: what the catalog does not name there dies. Its
// bytes count as used until the instance has confirmed that.
func (p *Proxy) heard(node uint32, instance wire.Instance) {
	p.work.Go(func() {
		ctx, cancel := context.WithTimeoutCause(p.ctx, reconcileBudget, wire.ErrTimeout)
		defer cancel()
		began := time.Now()
		kept, dropped := 0, 0
		_, err := p.pool.List(ctx, node, instance, 0, lifecycle.Repair, func(h wire.Held) {
			switch epoch := catalog.EpochOf(h.Chunk.Version); {
			case epoch == p.pool.Epoch():
				return // stored in this reign: the books have it
			case epoch > p.pool.Epoch():
				p.metrics.falseHoldings.Add(1)
				p.log.Warn("an instance names a version of a reign to come", "node", node, "instance", instance, "version", h.Chunk.Version)
			default:
				if x, ok := p.recognize(node, h); ok && p.pool.Holds(x.at, instance) {
					kept++
					return
				}
				if p.adopted.take(node, instance, h) {
					kept++
					return
				}
			}
			dropped++
			p.pool.Disown(node, instance, h.Chunk, pool.Cost(int(h.Size), len(h.Record)))
		})
		p.pool.Compared(node, instance, err == nil)
		p.log.Info("instance of an earlier reign heard", "node", node, "instance", instance,
			"kept", kept, "dropped", dropped, "took", time.Since(began), "err", err)
	})
}
