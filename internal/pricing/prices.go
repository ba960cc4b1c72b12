package pricing

import "time"

// Tariff is the public price list of a platform.
type Tariff struct {
	// Name is what people choose it by.
	Name string
	// Title is what people read.
	Title string
	// Quantum, PerGBSecond, PerInvocation and BilledStart mean what they mean in
	// a Plan.
	Quantum       time.Duration
	PerGBSecond   float64
	PerInvocation float64
	BilledStart   bool
	// PerSecond is charged per second of billed time whatever the memory: for
	// the processor, where that is priced apart.
	PerSecond float64
	// Source and Date say where the prices stand and when they were read.
	Source, Date string
}

// Plan is the tariff for functions of so many bytes of memory, which must be
// positive.
func (t Tariff) Plan(memory int64) Plan {
	return Plan{
		Quantum: t.Quantum, PerInvocation: t.PerInvocation, BilledStart: t.BilledStart,
		PerGBSecond: t.PerGBSecond + t.PerSecond*gb/float64(memory),
	}
}

// tariffs are all that are known, the usual one first. Prices are for us-east-1
// and for Cloud Run's tier 1, without free allowances.
var tariffs = []Tariff{
	{
		Name: "lambda", Title: "AWS Lambda (x86)",
		Quantum: time.Millisecond, PerGBSecond: 0.0000166667, PerInvocation: 0.20 / 1e6, BilledStart: true,
		Source: "aws.amazon.com/lambda/pricing", Date: "2026-11",
	},
	{
		Name: "lambda-arm", Title: "AWS Lambda (arm)",
		Quantum: time.Millisecond, PerGBSecond: 0.0000133334, PerInvocation: 0.20 / 1e6, BilledStart: true,
		Source: "aws.amazon.com/lambda/pricing", Date: "2026-11",
	},
	{
		Name: "lambda-100ms", Title: "AWS Lambda as the paper had it",
		Quantum: 100 * time.Millisecond, PerGBSecond: 0.0000166667, PerInvocation: 0.20 / 1e6,
		Source: "aws.amazon.com/lambda/pricing", Date: "2020-02",
	},
	{
		Name: "cloud-run", Title: "Cloud Run, one processor to an instance",
		Quantum: 100 * time.Millisecond, PerGBSecond: 0.0000025, PerSecond: 0.000024, PerInvocation: 0.40 / 1e6, BilledStart: true,
		Source: "cloud.google.com/run/pricing", Date: "2026-11",
	},
	{
		Name: "own-cluster", Title: "your own cluster",
		Source: "nobody sends a bill", Date: "2026-11",
	},
}

// caches are what can be rented instead, in us-east-1.
var caches = []Cache{
	{
		Name: "cache.r7g.large", MemoryGB: 13.07, PerHour: 0.226,
		Source: "aws.amazon.com/elasticache/pricing", Date: "2026-11",
	},
	{
		Name: "cache.r7g.xlarge", MemoryGB: 26.32, PerHour: 0.453,
		Source: "aws.amazon.com/elasticache/pricing", Date: "2026-11",
	},
	{
		Name: "cache.r7g.4xlarge", MemoryGB: 105.81, PerHour: 1.81,
		Source: "aws.amazon.com/elasticache/pricing", Date: "2026-11",
	},
	{
		Name: "cache.r7g.16xlarge", MemoryGB: 419.09, PerHour: 7.25,
		Source: "aws.amazon.com/elasticache/pricing", Date: "2026-11",
	},
	{
		Name: "cache.r5.24xlarge", MemoryGB: 635.61, PerHour: 10.368,
		Source: "InfiniCache, FAST'20", Date: "2020-02",
	},
	{
		// $0.0023 for a million units; a request takes one for each KB it moves.
		Name: "elasticache-serverless", PerGBHour: 0.084,
		PerGBRead: 0.0023 / 1e6 * mb, PerGBWritten: 0.0023 / 1e6 * mb,
		Source: "aws.amazon.com/elasticache/pricing", Date: "2026-11",
	},
	{
		Name: "s3", Durable: true, PerGBHour: 0.023 / hoursPerMonth,
		PerRead: 0.0004 / 1e3, PerWrite: 0.005 / 1e3,
		Source: "aws.amazon.com/s3/pricing", Date: "2025-04",
	},
	{
		Name: "s3-express", Durable: true, PerGBHour: 0.11 / hoursPerMonth,
		PerGBRead: 0.0006, PerGBWritten: 0.0032, PerRead: 0.00003 / 1e3, PerWrite: 0.00113 / 1e3,
		Source: "aws.amazon.com/s3/pricing", Date: "2025-04",
	},
}

const hoursPerMonth = 730

// Tariffs are all that are known, the usual one first. The caller owns the slice.
func Tariffs() []Tariff { return append([]Tariff(nil), tariffs...) }

// TariffOf is the tariff of that name.
func TariffOf(name string) (Tariff, bool) {
	for _, t := range tariffs {
		if t.Name == name {
			return t, true
		}
	}
	return Tariff{}, false
}

// Caches are what can be rented instead. The caller owns the slice.
func Caches() []Cache { return append([]Cache(nil), caches...) }

// CacheOf is the rented cache of that name.
func CacheOf(name string) (Cache, bool) {
	for _, c := range caches {
		if c.Name == name {
			return c, true
		}
	}
	return Cache{}, false
}
