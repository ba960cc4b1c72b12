package lifecycle

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

func TestLingerUntil(t *testing.T) {
	const ms = time.Millisecond
	plain := wire.Linger{Stay: 50 * ms}
	paper := wire.Linger{Quantum: 100 * ms, Margin: 10 * ms, Extra: true}
	budget := wire.Linger{Stay: 250 * ms, Quantum: 100 * ms, Margin: 2 * ms}
	short := wire.Linger{Stay: 99 * ms, Quantum: 100 * ms, Margin: 2 * ms}
	for _, c := range []struct {
		name     string
		linger   wire.Linger
		idle     time.Duration
		requests int
		want     time.Duration
	}{
		{"no quantum", plain, 0, 0, 50 * ms},
		{"no quantum, busy", plain, 99 * ms, 9, 149 * ms},
		{"start of a quantum", paper, 0, 0, 90 * ms},
		{"one request", paper, 20 * ms, 1, 90 * ms},
		{"two requests", paper, 20 * ms, 2, 190 * ms},
		{"many requests buy one quantum", paper, 20 * ms, 50, 190 * ms},
		{"just before the margin", paper, 90*ms - 1, 1, 90 * ms},
		{"at the margin", paper, 90 * ms, 1, 90 * ms},
		{"in the margin", paper, 90*ms + 1, 1, 190 * ms},
		{"in the margin, busy", paper, 90*ms + 1, 2, 290 * ms},
		{"end of the quantum", paper, 100*ms - 1, 1, 190 * ms},
		{"the very boundary", paper, 100 * ms, 1, 190 * ms},
		{"the very boundary, busy", paper, 100 * ms, 2, 290 * ms},
		{"many quanta on", paper, 12345 * ms, 1, 12390 * ms},
		{"two quanta more", budget, 20 * ms, 5, 298 * ms},
		{"two quanta more from the margin", budget, 99 * ms, 1, 398 * ms},
		{"less than a quantum more", short, 20 * ms, 1, 98 * ms},
	} {
		if got := lingerUntil(c.linger, c.idle, c.requests); got != c.want {
			t.Errorf("%s: %v until %v with %d requests, want %v", c.name, c.idle, got, c.requests, c.want)
		}
	}
}

// TestLingerEndsAtAMargin draws lingers: whatever they are, the end is never
// before now, lies a margin before the end of a quantum, and is no further than
// what was bought.
func TestLingerEndsAtAMargin(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 20_000 {
		l := wire.Linger{Quantum: 1 + time.Duration(rng.Int64N(1e8)), Extra: rng.UintN(2) == 0}
		l.Margin = time.Duration(rng.Int64N(int64(l.Quantum)))
		l.Stay = time.Duration(rng.Int64N(1e9))
		idle, requests := time.Duration(rng.Int64N(1e10)), rng.IntN(4)
		until := lingerUntil(l, idle, requests)
		bought := l.Stay
		if l.Extra && requests >= 2 {
			bought += l.Quantum
		}
		if until < idle || (until+l.Margin)%l.Quantum != 0 || until > idle+l.Quantum+bought {
			t.Fatalf("%v, %d requests: idle at %v, until %v", l, requests, idle, until)
		}
	}
}

func TestBusyCountsByQuantum(t *testing.T) {
	const q = 100 * time.Millisecond
	var b busy
	for _, at := range []time.Duration{0, q - 1, q, 5 * q} {
		b.came(q, at)
		b.came(0, at)
	}
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{0, 0}, {4*q + 1, 0}, {5 * q, 1}, {6*q - 1, 1}, {6 * q, 0}} {
		if got := b.in(q, c.at); got != c.want {
			t.Errorf("%d requests in the quantum of %v, want %d", got, c.at, c.want)
		}
	}
	b = busy{}
	b.came(q, 0)
	b.came(q, q-1)
	if b.in(q, q-1) != 2 || b.in(q, q) != 0 || b.in(0, 0) != 0 {
		t.Errorf("%+v after two requests in the first quantum", b)
	}
}
