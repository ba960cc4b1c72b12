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
	session uint64        // that it is in, or leaves after, at whichever seat; 0 for none
	unheard bool          // another one has spoken since
	since   time.Duration // when that began
	others  int           // sessions of others since, of those that count
	paired  bool          // it was in session together with another one
}

// Holdings are the instances of one node that may hold something of it. Two
// Nodes that are the seats of one node, so that two of its instances can be in
// session at once, share one.
//
// The runner of two seats numbers their sessions in one row (Node.Above), gives an
// event to the seat whose session or link it is of, and before an OnHello on a
// link of the other seat tells that seat of OnLinkLost: an instance that had its
// last session there comes on the link it kept.
type Holdings struct {
	instances []remembered
}

// Remember adds an instance of an earlier reign: it was heard before now and has
// not spoken since. paired says that it is known to exist beside another one.
func (h *Holdings) Remember(now time.Duration, id wire.Instance, paired bool) {
	if i := h.index(id); i >= 0 {
		h.instances[i].paired = h.instances[i].paired || paired
		return
	}
	if len(h.instances) < rememberedInstances {
		h.instances = append(h.instances, remembered{id: id, heard: now, paired: paired})
	}
}

func (h *Holdings) index(id wire.Instance) int {
	return slices.IndexFunc(h.instances, func(r remembered) bool { return r.id == id })
}

// serves notes that an instance, in a session or after it, is not to be passed
// over.
func (h *Holdings) serves(id wire.Instance, session uint64) {
	if i := h.index(id); i >= 0 {
		h.instances[i].session = session
	}
}

// left notes that a session of an instance is over. It may be in another by then,
// at the other seat.
func (h *Holdings) left(id wire.Instance, session uint64) {
	if i := h.index(id); i >= 0 && h.instances[i].session == session {
		h.instances[i].session = 0
	}
}

// oldest is the instance heard the longest ago, of those in no session if there
// is one.
func (h *Holdings) oldest() wire.Instance {
	return slices.MinFunc(h.instances, func(a, b remembered) int {
		if (a.session == 0) != (b.session == 0) {
			return cmp.Compare(min(a.session, 1), min(b.session, 1))
		}
		return cmp.Compare(a.heard, b.heard)
	}).id
}

// speaks notes that an instance has the session. Those in session at another seat
// are not passed over by it.
func (n *Node) speaks(now time.Duration, id wire.Instance, acts []Action) []Action {
	h := n.holdings
	known := h.index(id) >= 0
	paired := false
	acts = append(acts, Action{Kind: NoteInstance, Session: n.session, Instance: id, Known: known})

	kept := h.instances[:0]
	for _, r := range h.instances {
		// Of two that are known to exist side by side, one that is not chosen is
		// only that: another fresh one tells that the platform has not got it.
		counts := !known || !n.cfg.Replicas || !r.paired
		switch {
		case r.id == id:
			r = remembered{id: id, heard: now, session: n.session, paired: r.paired}
		case r.session != 0:
			r.paired, paired = true, true
		case counts && r.others+1 >= n.cfg.UnheardLimit, r.unheard && now-r.since >= n.cfg.UnheardAge:
			acts = append(acts, Action{Kind: NoteLost, Instance: r.id})
			continue
		default:
			if counts {
				r.others++
			}
			if !r.unheard {
				r.unheard, r.since = true, now
				acts = append(acts, Action{Kind: NoteUnheard, Instance: r.id})
			}
		}
		kept = append(kept, r)
	}
	h.instances = kept
	if known {
		i := h.index(id)
		h.instances[i].paired = h.instances[i].paired || paired
		return acts
	}
	if len(h.instances) == rememberedInstances {
		acts = n.lose(h.oldest(), acts)
	}
	h.instances = append(h.instances, remembered{id: id, heard: now, session: n.session, paired: paired})
	return acts
}

// lose forgets an instance whose memory is gone.
func (n *Node) lose(id wire.Instance, acts []Action) []Action {
	h := n.holdings
	i := h.index(id)
	if i < 0 {
		return acts
	}
	h.instances = slices.Delete(h.instances, i, i+1)
	return append(acts, Action{Kind: NoteLost, Instance: id})
}

// judgeAges loses the instances that were unheard for too long.
func (n *Node) judgeAges(now time.Duration, acts []Action) []Action {
	n.holdings.instances = slices.DeleteFunc(n.holdings.instances, func(r remembered) bool {
		if r.session != 0 || !r.unheard || now-r.since < n.cfg.UnheardAge {
			return false
		}
		acts = append(acts, Action{Kind: NoteLost, Instance: r.id})
		return true
	})
	return acts
}
