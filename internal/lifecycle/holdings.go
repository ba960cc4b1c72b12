package lifecycle

import (
	"cmp"
	"slices"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// remembered is an instance that spoke for the node and may hold chunks of it.
// Holdings belong to instances: when another one speaks they are not gone, only
// out of reach.
type remembered struct {
	id      wire.Instance
	heard   time.Duration // its last hello
	unheard bool          // another one has spoken since
	since   time.Duration // when that began
	others  int           // sessions of others since
}

// speaks notes that an instance has the session.
func (n *Node) speaks(now time.Duration, id wire.Instance, acts []Action) []Action {
	known := slices.ContainsFunc(n.instances, func(r remembered) bool { return r.id == id })
	acts = append(acts, Action{Kind: NoteInstance, Session: n.session, Instance: id, Known: known})

	kept := n.instances[:0]
	for _, r := range n.instances {
		switch {
		case r.id == id:
			r = remembered{id: id, heard: now}
		case r.others+1 >= n.cfg.UnheardLimit, r.unheard && now-r.since >= n.cfg.UnheardAge:
			acts = append(acts, Action{Kind: NoteLost, Instance: r.id})
			continue
		default:
			r.others++
			if !r.unheard {
				r.unheard, r.since = true, now
				acts = append(acts, Action{Kind: NoteUnheard, Instance: r.id})
			}
		}
		kept = append(kept, r)
	}
	n.instances = kept
	if known {
		return acts
	}
	if len(n.instances) == rememberedInstances {
		oldest := slices.MinFunc(n.instances, func(a, b remembered) int { return cmp.Compare(a.heard, b.heard) })
		acts = n.lose(oldest.id, acts)
	}
	n.instances = append(n.instances, remembered{id: id, heard: now})
	return acts
}

// lose forgets an instance whose memory is gone.
func (n *Node) lose(id wire.Instance, acts []Action) []Action {
	i := slices.IndexFunc(n.instances, func(r remembered) bool { return r.id == id })
	if i < 0 {
		return acts
	}
	n.instances = slices.Delete(n.instances, i, i+1)
	return append(acts, Action{Kind: NoteLost, Instance: id})
}

// judgeAges loses the instances that were unheard for too long.
func (n *Node) judgeAges(now time.Duration, acts []Action) []Action {
	n.instances = slices.DeleteFunc(n.instances, func(r remembered) bool {
		if !r.unheard || now-r.since < n.cfg.UnheardAge {
			return false
		}
		acts = append(acts, Action{Kind: NoteLost, Instance: r.id})
		return true
	})
	return acts
}
