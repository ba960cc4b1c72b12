package pricing

import (
	"math"
	"testing"
	"time"
)

// near says that got is want but for a share of it.
func near(got, want, share float64) bool { return math.Abs(got-want) <= share*math.Abs(want) }

func plan(t *testing.T, tariff string, memory int64) Plan {
	t.Helper()
	p, ok := TariffOf(tariff)
	if !ok {
		t.Fatalf("no tariff %q", tariff)
	}
	return p.Plan(memory)
}

func TestBilled(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name           string
		plan           Plan
		duration, init time.Duration
		want           time.Duration
	}{
		{"nothing", Plan{Quantum: 100 * ms}, 0, 0, 0},
		{"negative", Plan{Quantum: 100 * ms, BilledStart: true}, -5, -5, 0},
		{"a nanosecond", Plan{Quantum: 100 * ms}, 1, 0, 100 * ms},
		{"just below", Plan{Quantum: 100 * ms}, 100*ms - 1, 0, 100 * ms},
		{"the very boundary", Plan{Quantum: 100 * ms}, 100 * ms, 0, 100 * ms},
		{"just above", Plan{Quantum: 100 * ms}, 100*ms + 1, 0, 200 * ms},
		{"start not billed", Plan{Quantum: 100 * ms}, 60 * ms, 60 * ms, 100 * ms},
		{"start billed", Plan{Quantum: 100 * ms, BilledStart: true}, 60 * ms, 60 * ms, 200 * ms},
		{"start billed, to the boundary", Plan{Quantum: 100 * ms, BilledStart: true}, 60 * ms, 40 * ms, 100 * ms},
		{"start alone", Plan{Quantum: ms, BilledStart: true}, 0, 1, ms},
		{"fine quantum", Plan{Quantum: ms}, 12345 * time.Microsecond, 0, 13 * ms},
		{"not billed", Plan{BilledStart: true}, time.Hour, time.Hour, 0},
		{"without end", Plan{Quantum: 100 * ms, BilledStart: true}, most, most, most},
		{"without end, in quanta of it", Plan{Quantum: most}, most, 0, most},
	} {
		if got := c.plan.Billed(c.duration, c.init); got != c.want {
			t.Errorf("%s: %v billed, want %v", c.name, got, c.want)
		}
	}
}

func TestCost(t *testing.T) {
	lambda := plan(t, "lambda", gb)
	if got, want := lambda.Cost(gb, time.Hour, 0), 3600*0.0000166667; !near(got, want, 1e-12) {
		t.Errorf("an hour of a GB is $%v, want %v", got, want)
	}
	if got := lambda.Cost(gb, 0, 1e6); !near(got, 0.20, 1e-12) {
		t.Errorf("a million invocations are $%v, want 0.20", got)
	}
	if got, want := lambda.Cost(gb/4, time.Hour, 0), 900*0.0000166667; !near(got, want, 1e-12) {
		t.Errorf("an hour of a quarter GB is $%v, want %v", got, want)
	}
	// The processor of Cloud Run costs the same whatever the memory beside it.
	for _, memory := range []int64{gb / 2, gb, 4 * gb} {
		got := plan(t, "cloud-run", memory).Cost(memory, time.Second, 0)
		if want := 0.000024 + float64(memory)/gb*0.0000025; !near(got, want, 1e-12) {
			t.Errorf("a second of Cloud Run with %d bytes is $%v, want %v", memory, got, want)
		}
	}
	own := plan(t, "own-cluster", gb)
	if got := own.Cost(gb, time.Hour, 1e6); got != 0 {
		t.Errorf("the own cluster costs $%v", got)
	}
	if got := (Plan{PerGBSecond: 1}).Cost(gb, time.Hour, 0); got != 0 {
		t.Errorf("time that is not billed costs $%v", got)
	}
}

func TestPricesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	whole := func(name, source, date string, prices ...float64) {
		if name == "" || seen[name] {
			t.Errorf("the name %q is missing or used twice", name)
		}
		seen[name] = true
		if _, err := time.Parse("2006-01", date); err != nil || source == "" {
			t.Errorf("%s: source %q, date %q", name, source, date)
		}
		for _, p := range prices {
			if p < 0 {
				t.Errorf("%s: a price of %v", name, p)
			}
		}
	}
	for _, x := range Tariffs() {
		whole(x.Name, x.Source, x.Date, x.PerGBSecond, x.PerSecond, x.PerInvocation)
		if x.Title == "" || x.Quantum < 0 || (x.Quantum == 0) != (x.PerGBSecond+x.PerSecond == 0) {
			t.Errorf("%s: title %q, quantum %v for $%v", x.Name, x.Title, x.Quantum, x.PerGBSecond+x.PerSecond)
		}
		if same, ok := TariffOf(x.Name); !ok || same != x {
			t.Errorf("TariffOf(%q) = %v", x.Name, same)
		}
	}
	for _, x := range Caches() {
		whole(x.Name, x.Source, x.Date, x.PerHour, x.PerGBHour, x.PerGBRead, x.PerGBWritten, x.PerRead, x.PerWrite)
		if (x.MemoryGB > 0) != (x.PerHour > 0) || (x.MemoryGB > 0) == (x.PerGBHour > 0) {
			t.Errorf("%s: %v GB for $%v an hour, $%v a GB and hour", x.Name, x.MemoryGB, x.PerHour, x.PerGBHour)
		}
		if same, ok := CacheOf(x.Name); !ok || same != x {
			t.Errorf("CacheOf(%q) = %v", x.Name, same)
		}
	}
	if _, ok := TariffOf("nobody"); ok {
		t.Error("there is a tariff of nobody's")
	}
	if _, ok := CacheOf("nobody"); ok {
		t.Error("there is a cache of nobody's")
	}
}
