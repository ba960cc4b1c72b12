package main

// Where the tests of packages above are named, those of the package itself do not
// see the change: it breaks a promise between two.
const (
	lifecycle = "./internal/lifecycle"
	pool      = "./internal/pool"
	catalog   = "./internal/catalog"
	stripe    = "./internal/stripe"
	workloads = "./internal/simcache"
)

// mutants are the changes that the tests must notice.
var mutants = []mutant{
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
		old: `		acts = m.timers.arm(TimerDeadline, now+left-m.terms.Margin, acts)
`, new: `		_ = left
`,
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
		old: `case r.others+1 >= n.cfg.UnheardLimit,`, new: `case true,`,
	},
	{
		name: "never count an unheard instance as lost", file: "internal/lifecycle/holdings.go", tests: lifecycle,
		old: `case r.others+1 >= n.cfg.UnheardLimit, r.unheard && now-r.since >= n.cfg.UnheardAge:`, new: `case false:`,
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
		old: `return u.plan.Shape.Data + (u.plan.Shape.Parity+1)/2 }`, new: `return u.plan.Shape.Data }`,
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
		old: `	s.n.reserved -= c.reserved
	var after`, new: `	var after`,
	},
	{
		name: "forget what a store takes", file: "internal/pool/call.go", tests: pool,
		old: `			l.instance.held += c.cost
			if`, new: `			if`,
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
		name: "a hedge never fires", file: "internal/stripe/gather.go", tests: stripe + " -run IsHedged",
		old: `		g.hedgeAt = g.start.Add(g.patient)
`, new: ``,
	},
}
