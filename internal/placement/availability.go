package placement

import (
	"math"

	"github.com/infinicache/infinicache/internal/object"
)

// Loss is the chance that a stripe is lost when so many of a pool's nodes, any of
// them alike, lose what they hold at once: that more than p of its d+p chunks,
// each on a node of its own, go. It is the availability model of the paper
// (section 4.2); an object of several stripes in one node group is lost with it.
//
// Numbers out of range are taken for the nearest in range. A shape wider than the
// pool counts as one that ShapeFor would make of it.
func Loss(nodes int, shape object.Shape, reclaimed int) float64 {
	nodes = max(nodes, 1)
	shape = ShapeFor(-1, nodes, shape)
	n, r := shape.Data+shape.Parity, min(max(reclaimed, 0), nodes)
	var sum float64
	for i := shape.Parity + 1; i <= min(n, r); i++ {
		sum += math.Exp(lnChoose(r, i) + lnChoose(nodes-r, n-i) - lnChoose(nodes, n))
	}
	return min(sum, 1)
}

// LossWithBackup is Loss where every node has two instances that hold the same,
// and so many of the pool's instances go at once: a node loses what it holds only
// with both.
func LossWithBackup(nodes int, shape object.Shape, reclaimed int) float64 {
	nodes = max(nodes, 1)
	r := min(max(reclaimed, 0), 2*nodes)
	var sum float64
	// Of all ways to draw r instances, those that take both of exactly k nodes
	// and one of r-2k others.
	for k := max(0, r-nodes); 2*k <= r; k++ {
		ways := lnChoose(nodes, k) + lnChoose(nodes-k, r-2*k) + float64(r-2*k)*math.Ln2
		sum += math.Exp(ways-lnChoose(2*nodes, r)) * Loss(nodes, shape, k)
	}
	return min(sum, 1)
}

// lnChoose is the logarithm of n over k, minus infinity where that is 0.
func lnChoose(n, k int) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	return lnFactorial(n) - lnFactorial(k) - lnFactorial(n-k)
}

func lnFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}
