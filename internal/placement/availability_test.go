package placement

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/infinicache/infinicache/internal/object"
)

func TestLoss(t *testing.T) {
	paper := object.Shape{Data: 10, Parity: 2}
	for _, tt := range []struct {
		nodes     int
		shape     object.Shape
		reclaimed int
		want      float64
		within    float64
	}{
		{400, paper, 5, 0.0002, 0.00005},
		{400, paper, 12, 0.0039, 0.00005},
		{400, paper, 20, 0.018, 0.0005},
		{400, paper, 80, 0.44, 0.005},

		{400, paper, 0, 0, 0},
		{400, paper, 2, 0, 0},
		{400, paper, 400, 1, 1e-9},
		{400, paper, 1000, 1, 1e-9},
		{400, paper, -1, 0, 0},
		{12, paper, 2, 0, 0},
		{12, paper, 3, 1, 1e-9}, // every node has a chunk
		{3, object.Shape{Data: 1, Parity: 0}, 1, 1. / 3, 1e-9},
		{4, object.Shape{Data: 1, Parity: 1}, 2, 1. / 6, 1e-9},
		{1, paper, 1, 1, 1e-9}, // 1+0 is all that one node allows
		{0, paper, 0, 0, 0},
	} {
		got := Loss(tt.nodes, tt.shape, tt.reclaimed)
		if math.Abs(got-tt.want) > tt.within {
			t.Errorf("Loss(%d, %s, %d) = %.6f, want %g within %g", tt.nodes, FormatShape(tt.shape), tt.reclaimed, got, tt.want, tt.within)
		}
	}
}

func TestLossWithBackup(t *testing.T) {
	one := object.Shape{Data: 1, Parity: 0}
	for _, tt := range []struct {
		nodes, reclaimed int
		want             float64
	}{
		{1, 0, 0}, {1, 1, 0}, {1, 2, 1},
		{2, 2, 1. / 6}, // 2 of 6 pairs of instances are a node, which has one of two objects
		{2, 3, 1. / 2}, // one node is gone, one has an instance left
		{2, 4, 1},
		{2, 9, 1},
	} {
		if got := LossWithBackup(tt.nodes, one, tt.reclaimed); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("LossWithBackup(%d, 1+0, %d) = %v, want %v", tt.nodes, tt.reclaimed, got, tt.want)
		}
	}
	paper := object.Shape{Data: 10, Parity: 2}
	for r := 0; r <= 400; r += 20 {
		// The same share of instances goes.
		if with, without := LossWithBackup(400, paper, 2*r), Loss(400, paper, r); with > without+1e-9 {
			t.Errorf("with %d of 800 instances gone %g is lost, without backup %g", 2*r, with, without)
		}
	}
}

// The formula takes the groups of nodes for random; Choose prefers nodes with
// room. Both are put beside each other, with and without backup, for the pool of
// the paper.
func TestLossOfChosenGroups(t *testing.T) {
	const nodes, objects, rounds = 400, 4000, 40
	shape := object.Shape{Data: 10, Parity: 2}
	rng := rand.New(rand.NewPCG(1, 2))
	groups := chooseGroups(t, rng, nodes, objects, shape)

	var table strings.Builder
	fmt.Fprintf(&table, "%d nodes, %s, %d objects; r nodes, or instances, gone at once; %% lost\n", nodes, FormatShape(shape), objects)
	fmt.Fprintf(&table, "%6s %20s %24s\n%6s %10s %10s %12s %10s\n", "", "one instance", "with backup", "r", "formula", "simulated", "formula", "simulated")
	for _, r := range []int{5, 12, 20, 40, 80, 160, 240} {
		plain := simulateLoss(rng, groups, rounds, shape.Parity, func() []bool { return reclaim(rng, nodes, 1, r) })
		backup := simulateLoss(rng, groups, rounds, shape.Parity, func() []bool { return reclaim(rng, nodes, 2, r) })
		want, wantBackup := Loss(nodes, shape, r), LossWithBackup(nodes, shape, r)
		fmt.Fprintf(&table, "%6d %10.3f %10.3f %12.3f %10.3f\n", r, 100*want, 100*plain.mean, 100*wantBackup, 100*backup.mean)
		for _, c := range []struct {
			name string
			want float64
			got  sample
		}{{"without backup", want, plain}, {"with backup", wantBackup, backup}} {
			if off := math.Abs(c.got.mean - c.want); off > 4*c.got.err+4*math.Sqrt(c.want/(objects*rounds)) {
				t.Errorf("%s, r = %d: %.5f lost, the formula says %.5f; four standard errors are %.5f", c.name, r, c.got.mean, c.want, 4*c.got.err)
			}
		}
	}
	t.Log("\n" + table.String())
}

// chooseGroups places objects of many sizes one after the other, so that the
// nodes' room differs as it does in a pool in use.
func chooseGroups(t *testing.T, rng *rand.Rand, nodes, objects int, shape object.Shape) [][]uint32 {
	t.Helper()
	pool := make([]Candidate, nodes)
	for i := range pool {
		pool[i] = Candidate{Node: uint32(i), Free: 1 << 30}
	}
	groups := make([][]uint32, objects)
	for i := range groups {
		chunk := 1 + rng.Int64N(8<<20)
		group, err := Choose(rng, shape.Data+shape.Parity, chunk, pool)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range group {
			pool[n].Free -= chunk
		}
		groups[i] = group
	}
	return groups
}

// reclaim takes r of all instances, of which each node has so many, and says
// which nodes have none left.
func reclaim(rng *rand.Rand, nodes, instances, r int) []bool {
	left := make([]int, nodes)
	for i := range left {
		left[i] = instances
	}
	for _, i := range rng.Perm(nodes * instances)[:r] {
		left[i%nodes]--
	}
	gone := make([]bool, nodes)
	for i := range gone {
		gone[i] = left[i] == 0
	}
	return gone
}

// sample is a mean over independent rounds and its standard error.
type sample struct{ mean, err float64 }

// simulateLoss is the share of groups of which more than parity members go.
func simulateLoss(rng *rand.Rand, groups [][]uint32, rounds, parity int, event func() []bool) sample {
	var sum, squares float64
	for range rounds {
		gone, lost := event(), 0
		for _, group := range groups {
			missing := 0
			for _, n := range group {
				if gone[n] {
					missing++
				}
			}
			if missing > parity {
				lost++
			}
		}
		share := float64(lost) / float64(len(groups))
		sum += share
		squares += share * share
	}
	n := float64(rounds)
	mean := sum / n
	return sample{mean, math.Sqrt(max(0, squares/n-mean*mean) / (n - 1))}
}
