package stripe

import (
	"fmt"

	"github.com/infinicache/infinicache/internal/wire"
)

// kind is what a chunk's failure says about the chunk.
type kind uint8

// In rising order: of the failures that together make a stripe unreadable the
// highest names the error.
const (
	kindLost        kind = iota // gone, or damaged
	kindUnavailable             // its holder could not serve
	kindTimeout
	kindBreaker
	kindUnheard
	kinds
)

var kindErrors = [kinds]error{
	wire.ErrLost, wire.ErrUnavailable, wire.ErrTimeout, wire.ErrBreaker, wire.ErrUnheard,
}

func kindOf(err error) kind {
	switch wire.CodeOf(err) {
	case wire.CodeNotHeld, wire.CodeLost, wire.CodeNotFound, wire.CodeCorrupt, wire.CodeShort:
		return kindLost
	case wire.CodeUnheard:
		return kindUnheard
	case wire.CodeBreaker:
		return kindBreaker
	case wire.CodeTimeout:
		return kindTimeout
	default:
		return kindUnavailable
	}
}

// failure is the error of a stripe too many of whose chunks failed. It matches
// wire.ErrLost if every failure is a chunk gone or damaged, or more than p are;
// otherwise the first that applies to any failure of wire.ErrUnheard,
// wire.ErrBreaker, wire.ErrTimeout and wire.ErrUnavailable. It wraps one chunk's
// error of that kind. g.mu is held.
func (g *gather) failure() error {
	var counts [kinds]int
	failed := 0
	for i := range g.slots {
		if g.slots[i].state == chunkFailed {
			counts[kindOf(g.slots[i].err)]++
			failed++
		}
	}
	worst := kindLost
	if counts[kindLost] <= g.layout.Parity() {
		for k := range kinds {
			if counts[k] > 0 {
				worst = k
			}
		}
	}
	err := fmt.Errorf("stripe %d: %w: %d of %d chunks failed", g.stripe, kindErrors[worst], failed, len(g.slots))
	for i := range g.slots {
		if s := &g.slots[i]; s.state == chunkFailed && kindOf(s.err) == worst {
			return fmt.Errorf("%w; chunk %d: %w", err, i, s.err)
		}
	}
	return err
}
