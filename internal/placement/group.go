package placement

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// ErrTooFewNodes: fewer nodes can take a chunk than the shape has chunks.
var ErrTooFewNodes = errors.New("too few nodes with room")

// Candidate is a node as placement sees it.
type Candidate struct {
	Node uint32
	Free int64 // bytes that it can still take
	// Barred nodes take nothing new: they drain, or their holdings are unheard.
	Barred bool
}

// Choose picks n distinct nodes at random, each with at least need free bytes,
// none barred or in avoid. Every place takes the roomier of two drawn nodes,
// which keeps the pool balanced without sending all to the emptiest node. The
// answer's order is the order of chunks.
//
// candidates is not changed; its order matters to the answer, so that callers who
// want a seed to repeat give it sorted. If too few nodes qualify the error
// matches ErrTooFewNodes: the caller makes room, or asks with need 0 and makes
// room on what it got.
func Choose(rng *rand.Rand, n int, need int64, candidates []Candidate, avoid ...uint32) ([]uint32, error) {
	open := make([]Candidate, 0, len(candidates))
	for _, c := range candidates {
		if !c.Barred && c.Free >= need && !slices.Contains(avoid, c.Node) {
			open = append(open, c)
		}
	}
	if len(open) < n {
		return nil, fmt.Errorf("%w: %d of %d can take %d bytes, want %d",
			ErrTooFewNodes, len(open), len(candidates), need, n)
	}
	group := make([]uint32, 0, n)
	for len(group) < n {
		i := draw(rng, open)
		group = append(group, open[i].Node)
		last := len(open) - 1
		open[i] = open[last]
		open = open[:last]
	}
	return group, nil
}

// draw is the index of the roomier of two different candidates, or of the only
// one.
func draw(rng *rand.Rand, open []Candidate) int {
	i := rng.IntN(len(open))
	if len(open) == 1 {
		return i
	}
	j := rng.IntN(len(open) - 1)
	if j >= i {
		j++
	}
	if open[j].Free > open[i].Free {
		return j
	}
	return i
}

// Replace picks a node to stand in for member i of group, as Choose would: none
// of the group, the old member included, none barred or in avoid. group is not
// changed.
func Replace(rng *rand.Rand, group []uint32, i int, need int64, candidates []Candidate, avoid ...uint32) (uint32, error) {
	chosen, err := Choose(rng, 1, need, candidates, slices.Concat(group, avoid)...)
	if err != nil {
		return 0, fmt.Errorf("replace node %d: %w", group[i], err)
	}
	return chosen[0], nil
}
