package main

import (
	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/journal"
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/spend"
)

// billOf is the bill by a tariff for the admin door.
func billOf(b spend.Bill, price pricing.Tariff) admin.Bill {
	out := admin.Bill{
		Sessions: b.Total.Invocations, Seconds: b.Total.BilledSeconds, Dollars: b.Total.Dollars,
		Tariff: price.Title, ByCause: make(map[string]admin.Cost, len(b.ByCause)),
	}
	for cause, sum := range b.ByCause {
		out.ByCause[cause] = admin.Cost{
			Sessions: sum.Invocations, ColdStarts: sum.Cold, Seconds: sum.BilledSeconds,
			Dollars: sum.Dollars, DollarsPerHour: sum.DollarsPerHour,
		}
	}
	return out
}

// breakerOf is the spend breaker for the admin door.
func breakerOf(b spend.BreakerStatus) admin.Breaker {
	out := admin.Breaker{
		Open: b.Tripped.String(), BookedDollars: b.Booked, ExpectedDollars: b.Expected,
		Trips: map[string]uint64{}, Refused: map[string]uint64{},
	}
	for _, limit := range [...]spend.Limit{spend.Invocations, spend.Dollars} {
		out.Trips[limit.String()], out.Refused[limit.String()] = b.Trips[limit], b.Refused[limit]
	}
	return out
}

// journalOf is the journal for the admin door; nil for none.
func journalOf(j *journal.Status) *admin.Journal {
	if j == nil {
		return nil
	}
	out := &admin.Journal{
		Failing: !j.Since.IsZero(), Ops: j.Ops, Failures: j.Failures, Dropped: j.Dropped,
		Queued: j.Queued, FileBytes: j.FileBytes,
	}
	if j.Error != nil {
		out.LastError = j.Error.Error()
	}
	return out
}
