package spend

import (
	"sync"
	"time"
)

// Meter books what sessions cost by what they were for.
type Meter struct {
	start time.Duration

	mu       sync.Mutex
	now      time.Duration // latest seen
	accounts []account     // by cause
}

type account struct {
	name   string
	sum    Sum
	lately window
}

// Charge is what one session cost.
type Charge struct {
	Billed  time.Duration
	Cold    bool // a fresh instance was started for it
	Dollars float64
}

// Sum is what sessions cost together.
type Sum struct {
	Invocations, Cold      uint64
	BilledSeconds, Dollars float64
	// DollarsPerHour is what they cost in an hour lately: the last hour, or the
	// time since the meter began, but at least a minute.
	DollarsPerHour float64
}

// Bill is what a Meter has booked. The sums by cause give the total.
type Bill struct {
	Total   Sum
	ByCause map[string]Sum // every cause, those without sessions too
}

// NewMeter makes a meter that begins at start. The causes are names, all
// different; a session's cause is its place among them.
func NewMeter(start time.Duration, causes ...string) *Meter {
	m := &Meter{start: max(start, 0), accounts: make([]account, len(causes))}
	for i, name := range causes {
		m.accounts[i].name = name
	}
	return m
}

// Book books a session that is over. It panics for a cause that the meter was not
// made with.
func (m *Meter) Book(now time.Duration, cause int, c Charge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = max(m.now, now)
	a := &m.accounts[cause]
	a.sum.Invocations++
	if c.Cold {
		a.sum.Cold++
	}
	a.sum.BilledSeconds += max(c.Billed, 0).Seconds()
	a.sum.Dollars += dollars(c.Dollars)
	a.lately.add(m.now, dollars(c.Dollars))
}

// Bill says what was booked. The caller owns it.
func (m *Meter) Bill(now time.Duration) Bill {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = max(m.now, now)
	bill := Bill{ByCause: make(map[string]Sum, len(m.accounts))}
	for i := range m.accounts {
		a := &m.accounts[i]
		sum := a.sum
		hours := max(a.lately.covered(m.start, m.now), slot).Hours()
		sum.DollarsPerHour = a.lately.sum(m.now) / hours
		bill.ByCause[a.name] = sum
		bill.Total.add(sum)
	}
	return bill
}

func (s *Sum) add(o Sum) {
	s.Invocations += o.Invocations
	s.Cold += o.Cold
	s.BilledSeconds += o.BilledSeconds
	s.Dollars += o.Dollars
	s.DollarsPerHour += o.DollarsPerHour
}
