package main

import "slices"

// Where the tests of packages above are named, those of the package itself do not
// see the change: it breaks a promise between two.
const (
	lifecycle = "./internal/lifecycle"
	pool      = "./internal/pool"
	catalog   = "./internal/catalog"
	stripe    = "./internal/stripe"
	lambda    = "./internal/deploy/lambda"
	knative   = "./internal/deploy/knative"
	workloads = "./internal/simcache"
	emulator  = "./internal/emulator"
)

// mutants are the changes that the tests must notice.
var mutants = slices.Concat(cacheMutants, platformMutants)

// cacheMutants are those of the cache itself.
var cacheMutants = []mutant{
	// Sessions and sleep.
	{
		name: "agree to sleep one request early", file: "internal/lifecycle/sleep.go", tests: lifecycle,
		old: `ev.Number != n.sent ||`, new: `ev.Number+1 < n.sent ||`,
	},
	{
		name: "agree to sleep with requests in flight", file: "internal/lifecycle/sleep.go", tests: lifecycle,
		old: ` || n.inFlight > 0 ||`, new: ` ||`,
	},
	{
		name: "agree to sleep with requests queued", file: "internal/lifecycle/sleep.go", tests: lifecycle,
		old: `|| len(n.queue) > 0 {`, new: `{`,
	},
	{
		name: "invoke while an invocation is outstanding", file: "internal/lifecycle/trust.go", tests: lifecycle,
		old: `	n.phase = Unlinked
	return n.patience(`, new: `	acts = n.invoke(now, acts)
	return n.patience(`,
	},
	{
		name: "let a kept node sleep", file: "internal/lifecycle/sleep.go", tests: lifecycle,
		old: `early || n.kept || ev.Number`, new: `early || ev.Number`,
	},
	{
		name: "send before welcome", file: "internal/lifecycle/node.go", tests: lifecycle,
		old: `	n.queue = append(n.queue, waiter{id, cause})
`, new: `	if n.phase == Waking {
		return n.send(waiter{id, cause}, acts)
	}
	n.queue = append(n.queue, waiter{id, cause})
`,
	},
	{
		name: "keep the link after a bye", file: "internal/lifecycle/sleep.go", tests: lifecycle,
		old: `	acts = n.closeLink(acts)
	acts = n.timers.clear(TimerPing, acts)
	n.phase, n.agreed = Ending, false`, new: `	acts = n.timers.clear(TimerPing, acts)
	n.phase, n.agreed = Ending, false`,
	},
	{
		name: "do not limit the queue", file: "internal/lifecycle/node.go", tests: lifecycle,
		old: `case len(n.queue) >= n.cfg.MaxQueue:`, new: `case false:`,
	},
	{
		name: "back-off that never grows", file: "internal/lifecycle/wake.go", tests: lifecycle,
		old: `		d *= 2
`, new: ``,
	},
	{
		name: "linger beyond the deadline", file: "internal/lifecycle/instance.go", tests: lifecycle,
		old: `		acts = m.limit(now+left-m.terms.Margin, acts)
`, new: `		_ = left
`,
	},
	{
		name: "have a session outlast the instance", file: "internal/lifecycle/instance.go", tests: lifecycle,
		old: `if m.timers.isSet(TimerDeadline) && m.timers.at[TimerDeadline] <= at {`, new: `if false {`,
	},
	{
		name: "leave when no proxy is there", file: "internal/lifecycle/instance.go", tests: lifecycle,
		old: `case m.ends != 0 && r != Notice:`, new: `case false:`,
	},
	{
		name: "leave with the session's limit", file: "internal/lifecycle/instance.go", tests: lifecycle,
		old: `if m.ends != 0 && now >= m.last {`, new: `if m.ends != 0 {`,
	},
	{
		name: "lose what leaves while the proxy stops", file: "internal/lifecycle/wake.go", tests: workloads,
		old: `n.link == 0 && !n.stopped {`, new: `n.link == 0 {`,
	},
	{
		name: "wait with nothing in hand", file: "internal/node/order.go", tests: "./internal/node",
		old: `n.machine.Phase() == lifecycle.Waiting &&`, new: `false &&`,
	},
	{
		name: "accept a lower epoch", file: "internal/lifecycle/instance.go", tests: lifecycle,
		old: `case ev.Epoch < m.epoch:`, new: `case false:`,
	},
	{
		name: "play a session twice", file: "internal/lifecycle/instance.go", tests: lifecycle,
		old: `ev.Epoch == m.epoch && ev.Session <= m.session:`, new: `false:`,
	},

	// Holdings.
	{
		name: "count an unheard instance as lost at once", file: "internal/lifecycle/holdings.go", tests: lifecycle,
		old: `case counts && r.others+1 >= n.cfg.UnheardLimit,`, new: `case true,`,
	},
	{
		name: "never count an unheard instance as lost", file: "internal/lifecycle/holdings.go", tests: lifecycle,
		old: `case counts && r.others+1 >= n.cfg.UnheardLimit, r.unheard && now-r.since >= n.cfg.UnheardAge:`, new: `case false:`,
	},
	{
		name: "lose an instance by count that is at the other seat", file: "internal/lifecycle/holdings.go", tests: lifecycle,
		old: `case r.session != 0:
			r.paired`, new: `case false:
			r.paired`,
	},

	// Checksums.
	{
		name: "skip the checksum", file: "internal/stripe/gather.go", tests: stripe,
		old: ` || sum != b.Sum {`, new: ` || sum != b.Sum && false {`,
	},
	{
		name: "leave identity out of the checksum", file: "internal/wire/block.go", tests: "./internal/wire",
		old: `	crc = sum64(crc, version, 8)
`, new: ``,
	},

	// Seals.
	{
		name: "seal the last segment like any other", file: "internal/seal/key.go", tests: "./internal/seal",
		old: `	if last {`, new: `	if false {`,
	},
	{
		name: "leave the name out of a sealed object's key", file: "internal/seal/key.go", tests: "./internal/seal -run TestForgeries",
		old: `"infinicache object "+name`, new: `"infinicache object "`,
	},
	{
		name: "read what is sealed as it is stored", file: "internal/stripe/reader.go", tests: stripe + " -run TestSealed",
		old: `!opts.Stored && r.bad == nil {`, new: `opts.Key != nil && r.bad == nil {`,
	},
	{
		name: "do not encrypt what a door stores", file: "internal/proxy/objects.go", tests: "./internal/proxy -run TestDoorsThatEncrypt",
		old: `	if p.key != nil {
		s := p.key.Seal`, new: `	if p.key == nil && false {
		s := p.key.Seal`,
	},
	{
		name: "have repair open what is sealed", file: "internal/proxy/fetch.go", tests: "./internal/proxy -run TestProxyWithoutTheKey",
		old: `Stored: cause == lifecycle.Repair,`, new: ``,
	},
	{
		name: "adopt what nodes can forge", file: "internal/proxy/adopt.go", tests: "./internal/proxy -run TestSealsOutlive",
		old: `a.p.key != nil && rec.Seal == (wire.Seal{})`, new: `false`,
	},

	// Versions and pins.
	{
		name: "an overwrite leaves the old version", file: "internal/catalog/commit.go", tests: catalog,
		old: `		c.detach(b, old, wire.CauseUnexplained, freed)
`, new: ``,
	},
	{
		name: "a delete removes nothing", file: "internal/catalog/remove.go", tests: catalog,
		old: `		w = c.remove(b, v, wire.CauseDeleted, &freed)
`, new: ``,
	},
	{
		name: "free a pinned version", file: "internal/catalog/free.go", tests: catalog,
		old: `	if v.pins == 0 {
		*freed`, new: `	if true {
		*freed`,
	},
	{
		name: "evict what is pinned", file: "internal/catalog/clock.go", tests: catalog,
		old: `case v.gone || v.pins > 0:`, new: `case v.gone:`,
	},
	{
		name: "commit below the quorum", file: "internal/proxy/settle.go", tests: workloads + " -run TestPutNeedsItsQuorum",
		old: `return data + (parity+1)/2 }`, new: `return data }`,
	},
	{
		name: "serve a fetch of another version", file: "internal/store/index.go", tests: "./internal/store",
		old: `h.anchor && h.version == version {`, new: `h.anchor {`,
	},

	// Room.
	{
		name: "forget to count a dead byte", file: "internal/pool/free.go", tests: pool,
		old: `	i.deadBytes += d.cost - i.dead[d.chunk]
`, new: ``,
	},
	{
		name: "keep a reservation for ever", file: "internal/pool/call.go", tests: pool,
		old: `	n.reserved -= c.reserved
`, new: ``,
	},
	{
		name: "forget what a store takes", file: "internal/pool/call.go", tests: pool,
		old: `			l.instance.held += c.cost
`, new: `			_ = l
`,
	},

	// Warm-ups, and what is spent.
	{
		name: "warm all nodes up at once", file: "internal/lifecycle/warm.go", tests: lifecycle,
		old: `return time.Duration(phase)`, new: `return time.Duration(phase - phase)`,
	},
	{
		name: "a breaker that always allows", file: "internal/spend/breaker.go", tests: "./internal/spend",
		old: `b.judge(now); why != None {`, new: `b.judge(now); false {`,
	},
	{
		name: "book warm-ups as serving", file: "internal/pool/meter.go", tests: workloads + " -run TestBillByCause",
		old: `cause := s.machine.Cause()`, new: `cause := lifecycle.Serve`,
	},
	{
		name: "do not bound retries", file: "internal/pool/meter.go", tests: workloads + " -run TestRetriesOfAPoolAreBounded",
		old: `	if again {`, new: `	if false {`,
	},

	// Backups.
	{
		name: "claim a lot of which chunks were not copied", file: "internal/pool/copies.go", tests: pool,
		old: `!pr.lacks(from, l) || len(c.costs) != l.chunks {`, new: `!pr.lacks(from, l) {`,
	},
	{
		name: "count the second instance a holder from the start", file: "internal/pool/pair.go", tests: pool,
		old: `			n.openLot(i)
		}
	}
`, new: `			n.openLot(i)
		}
	}
	for _, l := range n.lots {
		if other := pr.sides[Second]; !l.open() && !l.heldBy(other) {
			l.holders = append(l.holders, holder{other, other.position})
			n.tellHolders(l)
		}
	}
`,
	},
	{
		name: "do not free a chunk in the second instance", file: "internal/pool/free.go", tests: pool,
		old: `if l.heldBy(i) || i.dropCopy(l, chunk) {`, new: `if i == l.holders[0].instance || i.dropCopy(l, chunk) {`,
	},
	{
		name: "copy to the wrong chunk index", file: "internal/pool/copy.go", tests: workloads + " -run Backup",
		old: `	r.store.only, r.store.cause,`, new: `	r.store.chunk.Index++
	r.store.only, r.store.cause,`,
	},
	{
		name: "back up what is there", file: "internal/proxy/backup.go", tests: workloads + " -run TestCopies",
		old: `case !ok || !pair.Lacks(from, x.at.Instance, x.chunk):`, new: `case !ok:`,
	},
	{
		name: "forget what is freed while it is copied", file: "internal/proxy/backup.go", tests: workloads + " -run TestDeletedWhile",
		old: `		pair.Discard(from.Other(), h.chunk, pool.Cost(int(h.size), len(h.record)))
`, new: `		_ = pool.Cost
`,
	},

	// Notices, resizes and drains.
	{
		name: "place new chunks on a node that leaves", file: "internal/pool/instance.go", tests: pool,
		old: `		if !n.leaving {
			phase`, new: `		{
			phase`,
	},
	{
		name: "reserve on a node that leaves", file: "internal/pool/instance.go", tests: pool,
		old: `	if n.leaving || n.free() < bytes {`, new: `	if n.free() < bytes {`,
	},
	{
		name: "remove nodes without emptying them", file: "internal/proxy/resize.go", tests: workloads + " -run Shrinks",
		old: `p.empty(ctx, leave, progress)`, new: `p.empty(ctx, leave[:0], progress)`,
	},
	{
		name: "place chunks on a drained node", file: "internal/proxy/drained.go", tests: workloads + " -run TestDrain",
		old: `p.pool.Emptied(node)`, new: `p.pool.Leave(node, false)`,
	},
	{
		name: "drain nodes of which readers need chunks", file: "internal/proxy/empty.go", tests: workloads + " -run TestDrain",
		old: `(chunks == 0 || !patient)`, new: `(chunks >= 0 || !patient)`,
	},
	{
		name: "let a node sleep that is drained", file: "internal/proxy/drain.go", tests: workloads + " -run TestNotice",
		old: `		defer p.pool.Hold(node, instance)()
`, new: ``,
	},
	{
		name: "move chunks in any order on notice", file: "internal/proxy/drain.go", tests: workloads + " -run TestNotice",
		old: `	hottestFirst(held)
	return held`, new: `	return held`,
	},
	{
		name: "put moved chunks of a stripe together", file: "internal/proxy/drain.go", tests: workloads + " -run TestResizeKeepsChunksApart",
		old: `append(p.departing(), members...)`, new: `p.departing()`,
	},

	// The journal, and reigns.
	{
		name: "acknowledge a replacement without waiting", file: "internal/journal/queue.go", tests: "./internal/journal",
		old: `must := j.every || replaced != 0 ||`, new: `must := j.every ||`,
	},
	{
		name: "do not journal a delete", file: "internal/catalog/journal.go", tests: catalog,
		old: `	w := c.journal.Remove(v.key, v.number)
	c.detach`, new: `	w := c.journal.Settled(v.key)
	c.detach`,
	},
	{
		name: "acknowledge a delete without waiting", file: "internal/catalog/remove.go", tests: catalog,
		old: `	err = settle(w)
	c.free(freed)
	if err != nil && taken`, new: `	_ = w
	c.free(freed)
	if err != nil && taken`,
	},
	{
		name: "show a version before it is durable", file: "internal/catalog/pin.go", tests: catalog + " -run TestOpenWaits",
		old: `		w = v.unsafe
`, new: ``,
	},
	{
		name: "free what was replaced before that is durable", file: "internal/catalog/commit.go", tests: catalog,
		old: `	err = c.show(seen, w)
	if !res.Stored {`, new: `	c.free(freed)
	freed = nil
	err = c.show(seen, w)
	if !res.Stored {`,
	},
	{
		name: "restart in the same epoch", file: "internal/proxy/reign.go", tests: workloads + " -run Restart",
		old: `max(cfg.Pool.Epoch, state.Epoch+1)`, new: `max(cfg.Pool.Epoch, state.Epoch)`,
	},
	{
		name: "adopt and drop nothing", file: "internal/proxy/adopt.go", tests: workloads + " -run TestAdoptionDrops",
		old: `		a.p.pool.Free(x.at, c, x.cost)
`, new: `		_, _ = c, x
`,
	},
	{
		name: "free what the catalog names", file: "internal/proxy/reconcile.go", tests: workloads + " -run Restart",
		old: `ok && p.pool.Holds(x.at, instance) {`, new: `ok && !p.pool.Holds(x.at, instance) {`,
	},
	{
		name: "keep what the catalog does not name", file: "internal/proxy/reconcile.go", tests: workloads + " -run TestNodesKeepNothing",
		old: `			p.pool.Disown(node, instance, h.Chunk, pool.Cost(int(h.Size), len(h.Record)))
`, new: `			_ = pool.Cost
`,
	},
	{
		name: "go on serving when fenced", file: "internal/proxy/reign.go", tests: workloads + " -run Fenced",
		old: `p.overthrown.Load(); epoch != 0 {`, new: `p.overthrown.Load(); epoch == 1 {`,
	},

	// Strangers.
	{
		name: "accept a wrong secret", file: "internal/pool/nodelink.go", tests: pool,
		old: `if !hmac.Equal(secret[:], h.Proof[:]) {`, new: `if false && !hmac.Equal(secret[:], h.Proof[:]) {`,
	},

	// Where chunks are, and who is asked.
	{
		name: "two chunks of a stripe on one node", file: "internal/placement/group.go", tests: "./internal/placement",
		old: `		open = open[:last]
`, new: `		_ = last
`,
	},
	{
		name: "repair onto a node of the stripe", file: "internal/proxy/repair.go", tests: workloads + " -run TestRepairKeepsChunksApart",
		old: `nodes, err := p.tryPlace(1, cost, members)`, new: `nodes, err := p.tryPlace(1, cost, nil)`,
	},
	{
		name: "a late node stays first choice", file: "internal/stripe/gather.go", tests: stripe,
		old: `	case g.r.slow&bit != 0:
		return rankSlow
`, new: ``,
	},
	{
		name: "wait for ever for an owed answer", file: "internal/pool/node.go", tests: pool + " -run TestNodeThatNeverAnswersIsLetGo",
		old: `time.Since(c.owed) > patience {`, new: `time.Since(c.owed) > 1000*patience {`,
	},
	{
		name: "a slow node stays first choice", file: "internal/pool/call.go", tests: pool + " -run SlowNode",
		old: `		c.link.slow = time.Now()
`, new: ``,
	},
	{
		name: "who was late by chance stays slow", file: "internal/pool/call.go", tests: pool + " -run FastAgain",
		old: `		c.link.slow = time.Time{}
`, new: ``,
	},
	{
		name: "send a node what it was given up for", file: "internal/pool/call.go", tests: workloads + " -run TestWritesBesideASlowNode",
		old: `l.conn.Drop(c.stream)`, new: `_ = l`,
	},
	{
		name: "send what a canceled fetch had queued", file: "internal/node/proxylink.go", tests: "./internal/node -run TestCanceledBlocks",
		old: `		l.conn.Drop(h.Stream)`, new: `		_ = l`,
	},
	{
		name: "be silent while blocks arrive", file: "internal/node/stage.go", tests: workloads + " -run TestStoreOnSlowLinks",
		old: `	l.alive()
`, new: ``,
	},
	{
		name: "a hedge never fires", file: "internal/stripe/gather.go", tests: stripe + " -run IsHedged",
		old: `		g.hedgeAt = g.start.Add(g.patient)
`, new: ``,
	},
}
