package pricing

import (
	"errors"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

func TestParsePolicy(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  Policy
		print string // if not the text
	}{
		{"500ms", Fixed(500 * time.Millisecond), ""},
		{"1ms", Fixed(time.Millisecond), ""},
		{"60m", Fixed(time.Hour), "1h0m0s"},
		{"paper", Paper(), ""},
		{"break-even", BreakEven(0), ""},
		{"break-even:0", BreakEven(0), "break-even"},
		{"break-even:-0", BreakEven(0), "break-even"},
		{"break-even:0.01", BreakEven(0.01), ""},
		{"break-even:1e-3", BreakEven(0.001), "break-even:0.001"},
		{"break-even:1000", BreakEven(1000), ""},
	} {
		p, err := ParsePolicy(c.text)
		if err != nil || p != c.want {
			t.Errorf("ParsePolicy(%q) = %v, %v", c.text, p, err)
		}
		if c.print == "" {
			c.print = c.text
		}
		if p.String() != c.print {
			t.Errorf("%q prints as %q, want %q", c.text, p, c.print)
		}
		if again, err := ParsePolicy(p.String()); err != nil || again != p {
			t.Errorf("%q, printed as %q, reads as %v, %v", c.text, p, again, err)
		}
	}
	for _, text := range []string{
		"", "soon", "500", "0", "0s", "999us", "-1s", "1h0m1s", "Paper", "paper:1", "break-even:", "break-even:x",
		"break-even:-1", "break-even:1001", "break-even:NaN", "break-even:Inf", "break-even:-Inf", "breakeven", ":", "500ms:1",
	} {
		if p, err := ParsePolicy(text); !errors.Is(err, ErrPolicy) {
			t.Errorf("ParsePolicy(%q) = %v, %v, want ErrPolicy", text, p, err)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, s := range []string{"500ms", "paper", "break-even", "break-even:0.01", "break-even:1e-300", "1h"} {
		f.Add(s)
	}
	lambda, _ := TariffOf("lambda")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePolicy(s)
		if err != nil {
			return
		}
		if again, err := ParsePolicy(p.String()); err != nil || again != p {
			t.Fatalf("%q, printed as %q, reads as %v, %v", s, p, again, err)
		}
		if l, err := p.On(lambda.Plan(gb), gb); err == nil && (l.Stay < minStay || l.Stay > wire.MaxLinger) {
			t.Fatalf("%q lingers %v", s, l)
		}
	})
}

func TestMargin(t *testing.T) {
	for memory, want := range map[int64]time.Duration{
		0: 10 * time.Millisecond, 1792*mb - 1: 10 * time.Millisecond, 1792 * mb: 2 * time.Millisecond, 1 << 62: 2 * time.Millisecond,
	} {
		if got := Margin(memory); got != want {
			t.Errorf("margin %v with %d bytes, want %v", got, memory, want)
		}
	}
}

func TestPolicyOn(t *testing.T) {
	const ms = time.Millisecond
	// A second of this plan costs a dollar with a GB, an invocation 50 ms of it.
	round := func(quantum time.Duration) Plan {
		return Plan{Quantum: quantum, PerGBSecond: 1, PerInvocation: 0.05}
	}
	for _, c := range []struct {
		name   string
		policy Policy
		plan   Plan
		memory int64
		want   wire.Linger
		err    error
	}{
		{"fixed", Fixed(500 * ms), round(100 * ms), gb, wire.Linger{Stay: 500 * ms}, nil},
		{"fixed, free", Fixed(500 * ms), Plan{}, gb, wire.Linger{Stay: 500 * ms}, nil},
		{"fixed, nothing", Policy{}, round(ms), gb, wire.Linger{}, ErrPolicy},
		{"fixed, too long", Fixed(time.Hour + 1), round(ms), gb, wire.Linger{}, ErrPolicy},
		{"paper, small", Paper(), round(100 * ms), 1536 * mb, wire.Linger{Quantum: 100 * ms, Margin: 10 * ms, Extra: true}, nil},
		{"paper, big", Paper(), round(100 * ms), 1792 * mb, wire.Linger{Quantum: 100 * ms, Margin: 2 * ms, Extra: true}, nil},
		{"paper, quantum at the margin", Paper(), round(10 * ms), gb, wire.Linger{}, ErrQuantum},
		{"paper, quantum just above it", Paper(), round(10*ms + 1), gb, wire.Linger{Quantum: 10*ms + 1, Margin: 10 * ms, Extra: true}, nil},
		{"paper, 1 ms", Paper(), round(ms), 2 * gb, wire.Linger{}, ErrQuantum},
		{"paper, free", Paper(), Plan{}, gb, wire.Linger{}, ErrQuantum},
		{"paper, endless quantum", Paper(), round(2 * time.Hour), gb, wire.Linger{}, ErrQuantum},
		// 50 ms for the invocation, 2 ms around the request, 13 ms x value.
		{"break-even", BreakEven(0), round(ms), gb, wire.Linger{Stay: 52 * ms}, nil},
		{"break-even, half the memory", BreakEven(0), round(ms), gb / 2, wire.Linger{Stay: 102 * ms}, nil},
		{"break-even, waiting counts", BreakEven(2), round(ms), gb, wire.Linger{Stay: 78 * ms}, nil},
		{"break-even, priceless", BreakEven(1000), Plan{Quantum: ms, PerGBSecond: 1e-9}, gb, wire.Linger{Stay: time.Hour}, nil},
		{"break-even, nothing to save", BreakEven(0), Plan{Quantum: 1, PerGBSecond: 1e9}, gb, wire.Linger{Stay: 2 * ms}, nil},
		{"break-even, 100 ms", BreakEven(0), round(100 * ms), gb, wire.Linger{Stay: 52 * ms, Quantum: 100 * ms, Margin: 10 * ms}, nil},
		{"break-even, 100 ms, waiting counts", BreakEven(10), round(100 * ms), gb, wire.Linger{Stay: 182 * ms, Quantum: 100 * ms, Margin: 10 * ms}, nil},
		{"break-even, quantum at the margin", BreakEven(0), round(10 * ms), gb, wire.Linger{Stay: 52 * ms}, nil},
		{"break-even, time is free", BreakEven(0), Plan{PerInvocation: 1}, gb, wire.Linger{Stay: time.Hour}, nil},
		{"break-even, no rate", BreakEven(1), Plan{Quantum: 100 * ms}, gb, wire.Linger{Stay: time.Hour}, nil},
		{"break-even, worth a fortune", BreakEven(1001), round(ms), gb, wire.Linger{}, ErrPolicy},
	} {
		got, err := c.policy.On(c.plan, c.memory)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v, want %v, %v", c.name, got, err, c.want, c.err)
		}
	}
}

// TestBreakEvenCostsAWake checks the promise: staying costs what waking would.
func TestBreakEvenCostsAWake(t *testing.T) {
	for _, name := range []string{"lambda", "lambda-arm"} {
		for _, memory := range []int64{128 * mb, 1536 * mb, 10240 * mb} {
			for _, value := range []float64{0, 0.01, 0.1} {
				p := plan(t, name, memory)
				l, err := BreakEven(value).On(p, memory)
				if err != nil {
					t.Fatal(err)
				}
				staying, waking := p.Cost(memory, l.Stay, 0), p.WakeCost(memory, value)
				t.Logf("%s, %5d MB, $%v/s: %v", name, memory>>20, value, l.Stay.Round(time.Millisecond/10))
				if l.Stay < wire.MaxLinger && !near(staying, waking, 1e-6) {
					t.Errorf("%s, %d bytes, $%v/s: staying %v costs $%v, waking $%v", name, memory, value, l.Stay, staying, waking)
				}
			}
		}
	}
	// An invocation of Cloud Run is not worth another quantum.
	p := plan(t, "cloud-run", gb)
	if l, err := BreakEven(0).On(p, gb); err != nil || l.Stay >= p.Quantum || l.Quantum != p.Quantum {
		t.Errorf("%v, %v on Cloud Run", l, err)
	}
}
