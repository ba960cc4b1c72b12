package proxy

import (
	"time"

	"github.com/infinicache/infinicache/internal/pool"
)

const (
	// succeedEvery is how often it is looked whether instances in session are the
	// ones that the platform would give the next session to.
	succeedEvery = 10 * time.Second
	// succeedLook is how often it is looked whether one that was released is gone.
	succeedLook = 100 * time.Millisecond
)

// succeed has instances give way to others that stand ready in their places, one
// after the other, until the proxy ends: after a change of what is deployed, a
// session that lasts keeps the old instance, and the next one would find a new one,
// empty. The old one hands over what it holds before.
func (p *Proxy) succeed() {
	tick := time.NewTicker(succeedEvery)
	defer tick.Stop()
	for {
		// Asking wakes: so nodes that sleep are looked at only if something has changed.
		sleeping := false
		select {
		case <-tick.C:
		case <-p.pool.Replaced():
			sleeping = true
		case <-p.ctx.Done():
			return
		}
		for node := range uint32(p.pool.Nodes()) {
			if p.ctx.Err() == nil && (sleeping || p.pool.InSession(node)) {
				p.replace(node)
			}
		}
	}
}

// replace releases a node's instance if another one stands ready, when it is its turn,
// and waits until it is gone.
func (p *Proxy) replace(node uint32) {
	old, outlived := p.pool.Outlived(p.ctx, node)
	if !outlived {
		return
	}
	began := time.Now()
	look := time.NewTicker(succeedLook)
	defer look.Stop()
	released := false
	for p.pool.Knows(node, old) && time.Since(began) < 2*pool.ReleaseFor {
		released = released || p.pool.ReleaseInTurn(node, old)
		select {
		case <-look.C:
		case <-p.ctx.Done():
			return
		}
	}
	if released {
		p.log.Info("instance replaced", "node", node, "instance", old, "took", time.Since(began))
	}
}
