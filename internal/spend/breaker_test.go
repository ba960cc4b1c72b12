package spend

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func breaker(t interface{ Fatal(...any) }, cfg BreakerConfig) *Breaker {
	b, err := NewBreaker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// begin begins a session that must be let begin.
func begin(t *testing.T, b *Breaker, now time.Duration) *Session {
	t.Helper()
	s, why, again := b.Begin(now)
	if s == nil {
		t.Fatalf("Begin(%v) refused by %v for %v", now, why, again)
	}
	return s
}

// refused checks that both ways of asking get this answer.
func refused(t *testing.T, b *Breaker, now time.Duration, want Limit, wait time.Duration) {
	t.Helper()
	if ok, why, again := b.Allow(now); ok || why != want || again != wait {
		t.Errorf("Allow(%v) = %v, %v, %v, want %v, %v", now, ok, why, again, want, wait)
	}
	if s, why, again := b.Begin(now); s != nil || why != want || again != wait {
		t.Errorf("Begin(%v) = %v, %v, %v, want %v, %v", now, s, why, again, want, wait)
	}
}

func TestBreakerWithoutLimits(t *testing.T) {
	b := breaker(t, BreakerConfig{PerSession: 1e6, PerSecond: 1e6})
	for range 10_000 {
		begin(t, b, 0).End(0, 1e9)
	}
	if s := b.Status(0); s.Tripped != None || s.Booked != 1e13 {
		t.Errorf("%+v", s)
	}
}

func TestBreakerRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		cfg   BreakerConfig
		burst int
		again time.Duration
	}{
		{"a second's worth", BreakerConfig{InvocationsPerSecond: 20, Nodes: 14}, 20, 50 * ms},
		{"all nodes", BreakerConfig{InvocationsPerSecond: 10, Nodes: 14}, 14, 100 * ms},
		{"as given", BreakerConfig{InvocationsPerSecond: 10, Nodes: 14, Burst: 2}, 2, 100 * ms},
		{"less than one a second", BreakerConfig{InvocationsPerSecond: 0.5}, 1, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := breaker(t, c.cfg)
			for range c.burst {
				if ok, _, _ := b.Allow(0); !ok { // takes nothing
					t.Fatal("not allowed")
				}
				begin(t, b, 0)
			}
			refused(t, b, 0, Invocations, c.again)
			begin(t, b, c.again)
			refused(t, b, c.again, Invocations, c.again)
		})
	}
}

// TestBreakerRateSettles: a rate at its limit is one trip, not one a token.
func TestBreakerRateSettles(t *testing.T) {
	b := breaker(t, BreakerConfig{InvocationsPerSecond: 10, Burst: 1})
	at := time.Second
	for ; at < 3*time.Second; at += 100 * ms {
		begin(t, b, at)
		refused(t, b, at, Invocations, 100*ms)
	}
	last := at - 100*ms
	s := b.Status(last + settle - 1)
	if s.Tripped != Invocations || s.Since != time.Second || s.Trips[Invocations] != 1 || s.Refused[Invocations] != 40 {
		t.Errorf("%+v", s)
	}
	if s := b.Status(last + settle); s.Tripped != None || s.Since != 0 || s.Trips[Invocations] != 1 {
		t.Errorf("settled, %+v", s)
	}
}

func TestBreakerDollars(t *testing.T) {
	b := breaker(t, BreakerConfig{DollarsPerHour: 100, PerSession: 1})
	begin(t, b, 0).End(30*time.Second, 4)
	begin(t, b, 10*time.Minute).End(10*time.Minute+20*time.Second, 95)
	begin(t, b, 11*time.Minute) // the 100th dollar, set aside
	refused(t, b, 11*time.Minute+15*time.Second, Dollars, 71*time.Minute-11*time.Minute-15*time.Second)
	s := b.Status(12 * time.Minute)
	want := BreakerStatus{Tripped: Dollars, Since: 11*time.Minute + 15*time.Second, Running: 1, Booked: 99, Expected: 1}
	want.Trips[Dollars], want.Refused[Dollars] = 1, 2
	if s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	// The four of the first minute leave after it: at 96 it stays open.
	refused(t, b, 61*time.Minute, Dollars, 10*time.Minute)
	refused(t, b, 71*time.Minute-1, Dollars, 1)
	begin(t, b, 71*time.Minute)
	if s := b.Status(71 * time.Minute); s.Tripped != None || s.Trips[Dollars] != 1 || s.Refused[Dollars] != 6 || s.Booked != 0 {
		t.Errorf("closed, %+v", s)
	}
}

// TestBreakerCloses compares what is left of a limit of 100 after a trip.
func TestBreakerCloses(t *testing.T) {
	for _, c := range []struct {
		left, session float64
		open          bool
	}{
		{94, 1, false},
		{95, 1, true}, // not below 95 %
		{96, 1, true},
		{90, 10, false}, // to the limit exactly
		{91, 10, true},  // below 95 %, but one more would go beyond
	} {
		b := breaker(t, BreakerConfig{DollarsPerHour: 100, PerSession: c.session})
		first := begin(t, b, 0)
		second := begin(t, b, 0)
		first.End(0, 100-c.left)
		second.End(2*time.Minute, c.left)
		refused(t, b, 3*time.Minute, Dollars, map[bool]time.Duration{false: 58 * time.Minute, true: 60 * time.Minute}[c.open])
		if s := b.Status(61 * time.Minute); (s.Tripped == Dollars) != c.open {
			t.Errorf("$%v left, $%v a session: %+v", c.left, c.session, s)
		}
		if ok, _, _ := b.Allow(61 * time.Minute); ok == c.open {
			t.Errorf("$%v left, $%v a session: allowed %v", c.left, c.session, ok)
		}
	}
}

func TestBreakerReckonsRunningSessions(t *testing.T) {
	b := breaker(t, BreakerConfig{DollarsPerHour: 10, PerSession: 1, PerSecond: 0.5})
	first, second := begin(t, b, 0), begin(t, b, 2*time.Second)
	if s := b.Status(4 * time.Second); s.Running != 2 || s.Expected != 2+3 || s.Tripped != None {
		t.Errorf("%+v", s)
	}
	begin(t, b, 4*time.Second).End(4*time.Second, 3.5)
	refused(t, b, 5*time.Second, Dollars, 61*time.Minute-5*time.Second) // 6 + 3.5
	refused(t, b, 10*time.Second, Dollars, time.Minute)                 // 11: no booking's age helps
	first.End(10*time.Second, 0.5)                                      // cheaper than thought
	if s := b.Status(10 * time.Second); s.Running != 1 || s.Expected != 5 || s.Booked != 4 || s.Tripped != None {
		t.Errorf("%+v", s)
	}
	first.End(11*time.Second, 100) // no second time
	second.End(11*time.Second, 0)
	if s := b.Status(11 * time.Second); s.Running != 0 || s.Expected != 0 || s.Booked != 4 {
		t.Errorf("%+v", s)
	}
}

func TestBreakerBothLimits(t *testing.T) {
	b := breaker(t, BreakerConfig{InvocationsPerSecond: 1, Burst: 2, DollarsPerHour: 10, PerSession: 1})
	begin(t, b, 0).End(0, 1)
	last := begin(t, b, 0)
	refused(t, b, 0, Invocations, time.Second)
	last.End(0, 9)
	refused(t, b, 0, Dollars, 61*time.Minute) // lasts longer
	refused(t, b, time.Minute, Dollars, 60*time.Minute)
	if s := b.Status(time.Minute); s.Trips[Invocations] != 1 || s.Trips[Dollars] != 1 || s.Since != 0 {
		t.Errorf("%+v", s)
	}
}

func TestBreakerAgainstOddTimesAndSums(t *testing.T) {
	b := breaker(t, BreakerConfig{InvocationsPerSecond: 1e9, DollarsPerHour: 10, PerSession: 1, PerSecond: 1})
	begin(t, b, time.Hour).End(0, math.NaN()) // time falls
	begin(t, b, -1).End(time.Hour, -5)
	if s := b.Status(0); s.Booked != 0 || s.Expected != 0 {
		t.Errorf("%+v", s)
	}
	first, second := begin(t, b, time.Hour), begin(t, b, time.Hour)
	first.End(time.Hour, math.Inf(1))
	refused(t, b, 2*time.Hour-time.Second, Dollars, time.Minute)
	refused(t, b, math.MaxInt64, Dollars, time.Minute) // one has run for centuries
	second.End(math.MaxInt64, 1)
	begin(t, b, math.MaxInt64)
}

func TestBreakerConfig(t *testing.T) {
	_, err := NewBreaker(BreakerConfig{
		InvocationsPerSecond: -1, Burst: -1, Nodes: -1, DollarsPerHour: math.NaN(), PerSession: math.Inf(1), PerSecond: -0.1,
	})
	for _, field := range []string{"InvocationsPerSecond", "Burst", "Nodes", "DollarsPerHour", "PerSession", "PerSecond"} {
		if err == nil || !strings.Contains(err.Error(), field+" is ") {
			t.Errorf("no complaint about %s: %v", field, err)
		}
	}
	if _, err := NewBreaker(BreakerConfig{DollarsPerHour: 1, PerSession: 1.5}); err == nil {
		t.Error("a limit below one session's price is taken")
	}
	begin(t, breaker(t, BreakerConfig{DollarsPerHour: 1, PerSession: 1}), 0)
}

func TestLimitString(t *testing.T) {
	for l, want := range map[Limit]string{None: "none", Invocations: "invocations", Dollars: "dollars", 9: "limit(9)"} {
		if l.String() != want {
			t.Errorf("%d prints as %q, want %q", l, l, want)
		}
	}
}

// TestBreakerProperty holds against a model that remembers every session. Dollars
// are in 1/64, so that sums are exact in any order.
func TestBreakerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cents := func(name string, low, high int) float64 {
			return float64(rapid.IntRange(low, high).Draw(t, name)) / 64
		}
		cfg := BreakerConfig{
			InvocationsPerSecond: float64(rapid.IntRange(0, 20).Draw(t, "rate")),
			Nodes:                rapid.IntRange(0, 20).Draw(t, "nodes"),
			DollarsPerHour:       cents("limit", 64, 640),
			PerSession:           cents("session", 0, 64),
			PerSecond:            cents("second", 0, 1),
		}
		burst := max(cfg.InvocationsPerSecond, float64(cfg.Nodes))
		b := breaker(t, cfg)
		type booking struct {
			at time.Duration
			d  float64
		}
		var (
			now     time.Duration
			running []*Session
			booked  []booking
			begun   []time.Duration
			tripped bool
		)
		lastHour := func(span time.Duration) (sum float64) {
			for _, x := range booked {
				if now-x.at < span {
					sum += x.d
				}
			}
			return sum
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now += rapid.SampledFrom([]time.Duration{0, 1, 10 * ms, time.Second, time.Minute - 1, 17 * time.Minute, 2 * time.Hour}).Draw(t, "step")
			if len(running) > 0 && rapid.Bool().Draw(t, "end") {
				i := rapid.IntRange(0, len(running)-1).Draw(t, "which")
				d := cents("cost", 0, 128)
				running[i].End(now, d)
				running = append(running[:i], running[i+1:]...)
				booked = append(booked, booking{now, d})
				continue
			}
			s, why, again := b.Begin(now)
			hour, more := lastHour(time.Hour), lastHour(time.Hour+time.Minute)
			aside := float64(len(running)) * cfg.PerSession
			if (s == nil) != (why != None) || (s == nil) != (again > 0) {
				t.Fatalf("Begin(%v) = %v, %v, %v", now, s, why, again)
			}
			switch {
			case s != nil && (hour >= cfg.DollarsPerHour || hour+aside+cfg.PerSession > cfg.DollarsPerHour):
				t.Fatalf("allowed at $%v, $%v set aside, $%v a session, of $%v", hour, aside, cfg.PerSession, cfg.DollarsPerHour)
			case s != nil && tripped && hour >= 0.95*cfg.DollarsPerHour:
				t.Fatalf("closed at $%v of $%v", hour, cfg.DollarsPerHour)
			case why == Dollars && len(running) == 0 && more < 0.95*cfg.DollarsPerHour && more+cfg.PerSession <= cfg.DollarsPerHour:
				t.Fatalf("refused at $%v of $%v", more, cfg.DollarsPerHour)
			case why == Dollars && len(running) == 0:
				sum := 0.0
				for _, x := range booked {
					if now+again-x.at < time.Hour {
						sum += x.d
					}
				}
				if sum >= cfg.DollarsPerHour {
					t.Fatalf("told to come again in %v, when $%v of $%v are spent", again, sum, cfg.DollarsPerHour)
				}
			}
			tripped = why == Dollars || tripped && s == nil
			if s != nil {
				running, begun = append(running, s), append(begun, now)
			}
			if st := b.Status(now); st.Running != len(running) || st.Booked < hour || st.Booked > more {
				t.Fatalf("%+v, the model has %d running and booked $%v to $%v", st, len(running), hour, more)
			}
		}
		for i := range begun {
			for j := i; j < len(begun) && cfg.InvocationsPerSecond > 0; j++ {
				if most := max(burst, 1) + cfg.InvocationsPerSecond*(begun[j]-begun[i]).Seconds(); float64(j-i+1) > most+1e-9 {
					t.Fatalf("%d begun in %v, at most %v may", j-i+1, begun[j]-begun[i], most)
				}
			}
		}
	})
}
