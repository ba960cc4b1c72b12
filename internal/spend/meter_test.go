package spend

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMeter(t *testing.T) {
	m := NewMeter(time.Minute, "serve", "warm-up")
	if diff := cmp.Diff(Bill{ByCause: map[string]Sum{"serve": {}, "warm-up": {}}}, m.Bill(time.Minute)); diff != "" {
		t.Errorf("empty: %s", diff)
	}
	m.Book(time.Minute, 0, Charge{Billed: 1500 * ms, Cold: true, Dollars: 2})
	m.Book(2*time.Minute, 0, Charge{Billed: 500 * ms, Dollars: 1})
	m.Book(3*time.Minute, 1, Charge{Billed: 1 * ms, Dollars: 0.5})
	want := Bill{
		Total: Sum{Invocations: 3, Cold: 1, BilledSeconds: 2.001, Dollars: 3.5, DollarsPerHour: 105},
		ByCause: map[string]Sum{
			"serve":   {Invocations: 2, Cold: 1, BilledSeconds: 2, Dollars: 3, DollarsPerHour: 90},
			"warm-up": {Invocations: 1, BilledSeconds: 0.001, Dollars: 0.5, DollarsPerHour: 15},
		},
	}
	if diff := cmp.Diff(want, m.Bill(3*time.Minute)); diff != "" {
		t.Error(diff)
	}
}

func TestMeterLately(t *testing.T) {
	m := NewMeter(10*time.Second, "serve")
	m.Book(20*time.Second, 0, Charge{Dollars: 6})
	for _, c := range []struct {
		at   time.Duration
		want float64
	}{
		{0, 360}, // time falls: as at the booking
		{20 * time.Second, 360},
		{70 * time.Second, 360}, // a minute
		{130 * time.Second, 180},
		{10*time.Second + time.Hour, 6},
		{61*time.Minute - 1, 6.0 / (1 + 50.0/3600)},
		{61 * time.Minute, 0},
		{math.MaxInt64, 0},
	} {
		if got := m.Bill(c.at).Total.DollarsPerHour; math.Abs(got-c.want) > 1e-9 {
			t.Errorf("at %v $%v an hour, want %v", c.at, got, c.want)
		}
	}
	if got := m.Bill(0).Total.Dollars; got != 6 {
		t.Errorf("$%v in all", got)
	}
}

func TestMeterAgainstOddCharges(t *testing.T) {
	m := NewMeter(-time.Hour, "serve")
	m.Book(-1, 0, Charge{Billed: -time.Second, Dollars: math.NaN()})
	m.Book(0, 0, Charge{Dollars: -3})
	for range 3 { // more than a Duration holds
		m.Book(0, 0, Charge{Billed: math.MaxInt64})
	}
	if got := m.Bill(0).Total; got.Dollars != 0 || got.DollarsPerHour != 0 || got.BilledSeconds < 2.7e10 || got.Invocations != 5 {
		t.Errorf("%+v", got)
	}
}

// TestMeterProperty: the sums by cause are what was booked, and give the total.
func TestMeterProperty(t *testing.T) {
	causes := []string{"serve", "drain", "repair", "backup", "warm-up"}
	rapid.Check(t, func(t *rapid.T) {
		m := NewMeter(0, causes...)
		model := map[string]Sum{}
		for _, name := range causes {
			model[name] = Sum{}
		}
		var now time.Duration
		for range rapid.IntRange(0, 100).Draw(t, "sessions") {
			now += rapid.SampledFrom([]time.Duration{0, ms, time.Second, time.Minute, 3 * time.Hour}).Draw(t, "step")
			cause := rapid.IntRange(0, len(causes)-1).Draw(t, "cause")
			c := Charge{
				Billed:  time.Duration(rapid.IntRange(0, 1<<20).Draw(t, "billed")) * time.Second / 64,
				Cold:    rapid.Bool().Draw(t, "cold"),
				Dollars: float64(rapid.IntRange(0, 1<<20).Draw(t, "dollars")) / 64,
			}
			m.Book(now, cause, c)
			one := Sum{Invocations: 1, BilledSeconds: c.Billed.Seconds(), Dollars: c.Dollars}
			if c.Cold {
				one.Cold = 1
			}
			sum := model[causes[cause]]
			sum.add(one)
			model[causes[cause]] = sum
		}
		bill := m.Bill(now)
		var total Sum
		for _, name := range causes {
			got := bill.ByCause[name]
			total.add(got)
			got.DollarsPerHour = 0
			if got != model[name] {
				t.Fatalf("%s: %+v, want %+v", name, got, model[name])
			}
		}
		if total != bill.Total || len(bill.ByCause) != len(causes) {
			t.Fatalf("%+v in all, %+v by cause", bill.Total, total)
		}
	})
}

// TestTogether gives the race detector something to look at.
func TestTogether(t *testing.T) {
	b := breaker(t, BreakerConfig{InvocationsPerSecond: 1e6, DollarsPerHour: 1e6, PerSession: 1})
	m := NewMeter(0, "serve")
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				now := time.Duration(g+i) * ms
				s, why, _ := b.Begin(now)
				if s == nil {
					t.Errorf("refused by %v", why)
					return
				}
				b.Allow(now)
				s.End(now, 1)
				m.Book(now, 0, Charge{Dollars: 1})
				b.Status(now)
				m.Bill(now)
			}
		})
	}
	all.Wait()
	if s, bill := b.Status(0), m.Bill(0); s.Booked != 800 || s.Running != 0 || bill.Total.Dollars != 800 {
		t.Errorf("%+v, %+v", s, bill)
	}
}
