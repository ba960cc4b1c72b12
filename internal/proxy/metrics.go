package proxy

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/spend"
	"github.com/infinicache/infinicache/internal/wire"
)

// metrics counts what happens. All counters rise only.
type metrics struct {
	hits, hitBytes atomic.Uint64
	puts, putBytes atomic.Uint64
	misses         [wire.Causes]atomic.Uint64
	evicted        atomic.Uint64
	evictedBytes   atomic.Uint64
	objectsLost    atomic.Uint64
	notices        atomic.Uint64
	chunksMoved    atomic.Uint64
	falseHoldings  atomic.Uint64 // that an instance named and that cannot be
	chunksFailed   atomic.Uint64 // reads of a chunk that did not succeed
	chunksRefused  atomic.Uint64 // chunks that a node did not keep
	chunksRepaired atomic.Uint64
	repairsFailed  atomic.Uint64
	stragglers     atomic.Uint64 // chunks that were too late for their stripe
	refused        atomic.Uint64 // connections refused or broken off
}

func newMetrics() *metrics { return &metrics{} }

func (m *metrics) hit(bytes int64) {
	m.hits.Add(1)
	m.hitBytes.Add(uint64(bytes))
}

func (m *metrics) stored(bytes int64) {
	m.puts.Add(1)
	m.putBytes.Add(uint64(bytes))
}

func (m *metrics) miss(cause wire.Cause) { m.misses[cause].Add(1) }

func (m *metrics) chunkFailed(err error) {
	if code := wire.CodeOf(err); code != wire.CodeCanceled && code != wire.CodeClosed {
		m.chunksFailed.Add(1)
	}
}

// Status describes the proxy at one instant. Bytes and seconds throughout.
type Status struct {
	Epoch          uint64
	Objects        int
	ObjectBytes    int64
	Staged         int // versions being written
	Pinned         int // readers
	MaxObject      int64
	Hits           uint64
	HitBytes       uint64
	Puts           uint64
	PutBytes       uint64
	Misses         map[string]uint64 // by cause
	Unexplained    uint64
	Evicted        uint64
	EvictedBytes   uint64
	ObjectsLost    uint64
	InstancesLost  uint64
	Notices        uint64
	ChunksMoved    uint64
	FalseHoldings  uint64
	Backups        uint64
	BackupsFailed  uint64
	BackupChunks   uint64
	BackupBytes    uint64
	ChunksFailed   uint64
	ChunksRefused  uint64
	ChunksRepaired uint64
	RepairsFailed  uint64
	RepairsWaiting int
	Stragglers     uint64
	Refused        uint64
	Clients        int
	Bill           spend.Bill // of sessions that are over
	Breaker        spend.BreakerStatus
	Journal        *journal.Status // nil without a journal
	Nodes          []pool.Status
}

// Epoch is the number of this reign. It may be above the one of Config, by what
// the journal knows.
func (p *Proxy) Epoch() uint64 { return p.pool.Epoch() }

// Status describes the proxy and its nodes.
func (p *Proxy) Status() Status {
	m, cat := p.metrics, p.catalog.Stats()
	p.clients.mu.Lock()
	clients := len(p.clients.open)
	p.clients.mu.Unlock()
	s := Status{
		Epoch:   p.Epoch(),
		Objects: cat.Objects, ObjectBytes: cat.Bytes, Staged: cat.Staged, Pinned: cat.Pins,
		MaxObject: p.MaxObject(),
		Hits:      m.hits.Load(), HitBytes: m.hitBytes.Load(),
		Puts: m.puts.Load(), PutBytes: m.putBytes.Load(),
		Misses:      map[string]uint64{},
		Unexplained: m.misses[wire.CauseUnexplained].Load(),
		Evicted:     m.evicted.Load(), EvictedBytes: m.evictedBytes.Load(),
		ObjectsLost: m.objectsLost.Load(), InstancesLost: p.pool.InstancesLost(),
		Notices: m.notices.Load(), ChunksMoved: m.chunksMoved.Load(), FalseHoldings: m.falseHoldings.Load(),
		Backups: p.backups.done.Load(), BackupsFailed: p.backups.failed.Load(),
		BackupChunks: p.backups.chunks.Load(), BackupBytes: p.backups.bytes.Load(),
		ChunksFailed: m.chunksFailed.Load(), ChunksRefused: m.chunksRefused.Load(),
		ChunksRepaired: m.chunksRepaired.Load(), RepairsFailed: m.repairsFailed.Load(),
		RepairsWaiting: p.repairs.waiting(), Stragglers: m.stragglers.Load(),
		Refused: m.refused.Load(), Clients: clients,
		Bill: p.pool.Bill(), Breaker: p.pool.Breaker(),
		Nodes: p.pool.Status(),
	}
	if p.journal != nil {
		journal := p.journal.Status()
		s.Journal = &journal
	}
	for c := range wire.Cause(wire.Causes) {
		s.Misses[c.String()] = m.misses[c].Load()
	}
	return s
}

// kept is the journal's status, all zero where there is none.
func (s *Status) kept() journal.Status {
	if s.Journal == nil {
		return journal.Status{}
	}
	return *s.Journal
}

// truth is 1 or 0.
func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// collector shows a proxy's Status as Prometheus metrics.
type collector struct{ p *Proxy }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("infinicache_"+name, help, labels, nil)
}

var (
	descMisses  = desc("misses_total", "Reads that found nothing, by cause.", "cause")
	descNodes   = desc("nodes", "Nodes by state.", "state")
	descOpen    = desc("breaker_open", "1 while the limit on spending forbids sessions.", "limit")
	descForbade = desc("breaker_refused_total", "Sessions that a limit on spending forbade.", "limit")

	// byCause are of sessions that are over, by what they were for.
	byCause = []struct {
		d *prometheus.Desc
		v func(spend.Sum) float64
	}{
		{desc("sessions_total", "Sessions that are over, by cause.", "cause"), func(s spend.Sum) float64 { return float64(s.Invocations) }},
		{desc("billed_seconds_total", "Billed time of sessions that are over, by cause.", "cause"), func(s spend.Sum) float64 { return s.BilledSeconds }},
		{desc("dollars_total", "What sessions that are over cost, by cause.", "cause"), func(s spend.Sum) float64 { return s.Dollars }},
	}
	counters = []struct {
		d *prometheus.Desc
		v func(*Status) float64
	}{
		{desc("hits_total", "Reads that were served."), func(s *Status) float64 { return float64(s.Hits) }},
		{desc("hit_bytes_total", "Bytes of objects served."), func(s *Status) float64 { return float64(s.HitBytes) }},
		{desc("puts_total", "Versions stored."), func(s *Status) float64 { return float64(s.Puts) }},
		{desc("put_bytes_total", "Bytes of objects stored."), func(s *Status) float64 { return float64(s.PutBytes) }},
		{desc("evicted_total", "Objects evicted."), func(s *Status) float64 { return float64(s.Evicted) }},
		{desc("evicted_bytes_total", "Bytes of objects evicted."), func(s *Status) float64 { return float64(s.EvictedBytes) }},
		{desc("objects_lost_total", "Objects beyond repair."), func(s *Status) float64 { return float64(s.ObjectsLost) }},
		{desc("instances_lost_total", "Instances whose holdings are known gone."), func(s *Status) float64 { return float64(s.InstancesLost) }},
		{desc("notices_total", "Instances that told of their end."), func(s *Status) float64 { return float64(s.Notices) }},
		{desc("chunks_moved_total", "Chunks moved away from nodes that end."), func(s *Status) float64 { return float64(s.ChunksMoved) }},
		{desc("false_holdings_total", "Chunks that an instance named and that cannot be."), func(s *Status) float64 { return float64(s.FalseHoldings) }},
		{desc("backups_total", "Backups of a node that are complete."), func(s *Status) float64 { return float64(s.Backups) }},
		{desc("backups_failed_total", "Backups of a node that did not complete."), func(s *Status) float64 { return float64(s.BackupsFailed) }},
		{desc("backup_chunks_total", "Chunks copied by backups."), func(s *Status) float64 { return float64(s.BackupChunks) }},
		{desc("backup_bytes_total", "Bytes of chunks copied by backups."), func(s *Status) float64 { return float64(s.BackupBytes) }},
		{desc("chunks_failed_total", "Reads of a chunk that did not succeed."), func(s *Status) float64 { return float64(s.ChunksFailed) }},
		{desc("chunks_refused_total", "Chunks that a node did not keep."), func(s *Status) float64 { return float64(s.ChunksRefused) }},
		{desc("chunks_repaired_total", "Chunks put back."), func(s *Status) float64 { return float64(s.ChunksRepaired) }},
		{desc("repairs_failed_total", "Repairs of an object that did not succeed."), func(s *Status) float64 { return float64(s.RepairsFailed) }},
		{desc("stragglers_total", "Chunks that were too late for their stripe."), func(s *Status) float64 { return float64(s.Stragglers) }},
		{desc("connections_refused_total", "Connections refused or broken off."), func(s *Status) float64 { return float64(s.Refused) }},
		{desc("journal_ops_total", "Changes written to the journal."), func(s *Status) float64 { return float64(s.kept().Ops) }},
		{desc("journal_written_bytes_total", "Bytes of those changes."), func(s *Status) float64 { return float64(s.kept().Bytes) }},
		{desc("journal_failures_total", "Attempts to write the journal that failed."), func(s *Status) float64 { return float64(s.kept().Failures) }},
	}
	gauges = []struct {
		d *prometheus.Desc
		v func(*Status) float64
	}{
		{desc("epoch", "Number of the proxy's reign over its pool."), func(s *Status) float64 { return float64(s.Epoch) }},
		{desc("journal_failing", "1 while the journal cannot be written."), func(s *Status) float64 { return truth(!s.kept().Since.IsZero()) }},
		{desc("journal_bytes", "Size of the journal's file."), func(s *Status) float64 { return float64(s.kept().FileBytes) }},
		{desc("objects", "Objects in the catalog."), func(s *Status) float64 { return float64(s.Objects) }},
		{desc("object_bytes", "Bytes of objects in the catalog."), func(s *Status) float64 { return float64(s.ObjectBytes) }},
		{desc("clients", "Links of clients."), func(s *Status) float64 { return float64(s.Clients) }},
		{desc("repairs_waiting", "Objects that wait for repair."), func(s *Status) float64 { return float64(s.RepairsWaiting) }},
		{desc("held_bytes", "Bytes held by nodes, dead ones included."), func(s *Status) float64 {
			var sum int64
			for _, n := range s.Nodes {
				sum += n.Held
			}
			return float64(sum)
		}},
		{desc("capacity_bytes", "Bytes that the nodes can hold."), func(s *Status) float64 {
			var sum int64
			for _, n := range s.Nodes {
				sum += n.Capacity
			}
			return float64(sum)
		}},
	}
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descMisses
	ch <- descNodes
	ch <- descOpen
	ch <- descForbade
	for _, c := range byCause {
		ch <- c.d
	}
	for _, c := range counters {
		ch <- c.d
	}
	for _, g := range gauges {
		ch <- g.d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.p.Status()
	for cause, n := range s.Misses {
		ch <- prometheus.MustNewConstMetric(descMisses, prometheus.CounterValue, float64(n), cause)
	}
	states := map[string]int{}
	for _, n := range s.Nodes {
		states[n.State]++
	}
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(descNodes, prometheus.GaugeValue, float64(n), state)
	}
	for cause, sum := range s.Bill.ByCause {
		for _, m := range byCause {
			ch <- prometheus.MustNewConstMetric(m.d, prometheus.CounterValue, m.v(sum), cause)
		}
	}
	for _, limit := range [...]spend.Limit{spend.Invocations, spend.Dollars} {
		ch <- prometheus.MustNewConstMetric(descOpen, prometheus.GaugeValue, truth(s.Breaker.Tripped == limit), limit.String())
		ch <- prometheus.MustNewConstMetric(descForbade, prometheus.CounterValue, float64(s.Breaker.Refused[limit]), limit.String())
	}
	for _, m := range counters {
		ch <- prometheus.MustNewConstMetric(m.d, prometheus.CounterValue, m.v(&s))
	}
	for _, m := range gauges {
		ch <- prometheus.MustNewConstMetric(m.d, prometheus.GaugeValue, m.v(&s))
	}
}
