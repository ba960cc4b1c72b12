package pool

import (
	"time"

	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/platform"
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/spend"
)

// meter counts what a node's sessions cost. It is guarded by the node's mutex.
type meter struct {
	invocations uint64
	cold        uint64
	billed      time.Duration
	memory      int64 // most ever used, as the platform says
}

// Limits bounds what a pool spends. Zero is no limit.
type Limits struct {
	// InvocationsPerSecond is the most sessions begun in a second in the long
	// run; as many as there are nodes may begin at once.
	InvocationsPerSecond float64
	// DollarsPerHour is the most that sessions of the last hour cost, by the
	// platform's price.
	DollarsPerHour float64
}

// budget is the pool's purse: the breaker that forbids sessions, the bucket that
// slows repeated ones down, and the books.
type budget struct {
	breaker *spend.Breaker
	retries *spend.Bucket
	books   *spend.Meter
	plan    pricing.Plan
	memory  int64
}

// Repeated wakes after failures are bounded over the whole pool: each node has its
// back-off, but hundreds that fail together would still be a storm.
const (
	retriesPerSecond = 10
	retriesPerNode   = 0.1 // more, for each node
)

func newBudget(c *Config) (*budget, error) {
	caps := c.Driver.Capabilities()
	b := &budget{plan: pricing.Plan(caps.Price), memory: caps.Memory}
	var err error
	b.breaker, err = spend.NewBreaker(spend.BreakerConfig{
		InvocationsPerSecond: c.Limits.InvocationsPerSecond, Nodes: c.Nodes,
		DollarsPerHour: c.Limits.DollarsPerHour,
		PerSession:     b.plan.Cost(b.memory, b.plan.Billed(1, 0), 1), PerSecond: b.plan.Rate(b.memory),
	})
	b.retries = spend.NewBucket(retriesPerSecond+retriesPerNode*float64(c.Nodes), float64(c.Nodes))
	names := make([]string, lifecycle.Causes)
	for i := range names {
		names[i] = lifecycle.Cause(i).String()
	}
	b.books = spend.NewMeter(0, names...)
	return b, err
}

// allow opens an account for a session; nil with the class to return if there is
// to be none. again tells that the last session of the node failed.
func (p *Pool) allow(again bool) (*spend.Session, lifecycle.Class) {
	now := p.now()
	if again {
		if ok, _ := p.budget.retries.Take(now, 1); !ok {
			return nil, lifecycle.Throttled
		}
	}
	s, _, _ := p.budget.breaker.Begin(now)
	return s, lifecycle.Forbidden
}

// book writes down what a session cost, to the cause that it was for in the end.
func (s *seat) book(account *spend.Session, out platform.Outcome) {
	n, b := s.n, s.n.pool.budget
	cost := b.plan.Cost(b.memory, out.Billed, 1)
	n.mu.Lock()
	cause := s.machine.Cause()
	n.meter.billed += out.Billed
	if out.Cold {
		n.meter.cold++
	}
	n.meter.memory = max(n.meter.memory, out.MaxMemory)
	n.mu.Unlock()
	now := n.pool.now()
	account.End(now, cost)
	b.books.Book(now, int(cause), spend.Charge{Billed: out.Billed, Cold: out.Cold, Dollars: cost})
}

// Bill is what sessions that are over cost, by cause.
func (p *Pool) Bill() spend.Bill { return p.budget.books.Bill(p.now()) }

// Breaker tells of the limits on what is spent.
func (p *Pool) Breaker() spend.BreakerStatus { return p.budget.breaker.Status(p.now()) }

// watchBreaker says in the log when the breaker trips and when it closes again.
func (p *Pool) watchBreaker(was spend.Limit) spend.Limit {
	st := p.Breaker()
	if st.Tripped == was {
		return was
	}
	if st.Tripped != spend.None {
		p.log.Warn("spend breaker open", "limit", st.Tripped, "booked", st.Booked, "expected", st.Expected)
	} else {
		p.log.Info("spend breaker closed", "limit", was)
	}
	return st.Tripped
}
