// Package placement decides where objects go: how many chunks (the shape), how
// an object is cut into stripes and its stripes into node groups, which nodes
// form a group, and which proxy owns a key. It is pure: randomness is passed in,
// and the same seed gives the same answers.
package placement

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// BaseData and BaseParity are the shape of large objects in a large pool.
	BaseData   = 10
	BaseParity = 2
	// MinChunk is the size in bytes from which a chunk is worth a request of its
	// own: one block. Smaller objects get fewer data chunks.
	MinChunk = wire.BlockSize
	// MaxChunks is the most chunks, d+p, that a shape may have.
	MaxChunks = 64
)

// ErrShape: a shape that cannot be parsed or is outside the limits.
var ErrShape = errors.New("shape not allowed")

// Auto is the shape that asks for the one that suits size and pool: the zero
// shape.
var Auto object.Shape

// ShapeFor is the shape for an object of size bytes, negative if unknown, in a
// pool of so many nodes.
//
// Auto gives 10+2, or as many data chunks as the object has blocks if these are
// fewer, so that small objects are replicated (1+2). Any other want is taken for what it
// says. Both give way to the pool: with N < d+p nodes, p' = min(p, N-1) and
// d' = min(d, N-p'). A pool of fewer than one node counts as one, which gives
// 1+0.
func ShapeFor(size int64, nodes int, want object.Shape) object.Shape {
	s := want
	if s == Auto {
		s = object.Shape{Data: BaseData, Parity: BaseParity}
		if size >= 0 {
			s.Data = int(min(max((size+MinChunk-1)/MinChunk, 1), BaseData))
		}
	}
	nodes = max(nodes, 1)
	if nodes < s.Data+s.Parity {
		s.Parity = min(s.Parity, nodes-1)
		s.Data = min(s.Data, nodes-s.Parity)
	}
	return s
}

// ParseShape reads "auto", which gives Auto, or d+p as in "10+2". Its errors
// match ErrShape and say what is allowed.
func ParseShape(text string) (object.Shape, error) {
	if text == "auto" {
		return Auto, nil
	}
	d, p, found := strings.Cut(text, "+")
	data, err := parseCount(d)
	parity, err2 := parseCount(p)
	if !found || err != nil || err2 != nil || data == 0 { // 0+0 would read as Auto
		return object.Shape{}, fmt.Errorf("%w: %q, want auto or data+parity chunks like 10+2", ErrShape, text)
	}
	s := object.Shape{Data: data, Parity: parity}
	if err := CheckShape(s); err != nil {
		return object.Shape{}, err
	}
	return s, nil
}

// parseCount reads digits only: no sign, no space.
func parseCount(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err
}

// CheckShape returns an error that matches ErrShape unless s is Auto or a shape
// that can be coded.
func CheckShape(s object.Shape) error {
	if s == Auto {
		return nil
	}
	if s.Data < 1 || s.Parity < 0 || s.Data > MaxChunks || s.Parity > MaxChunks-s.Data {
		return fmt.Errorf("%w: %s, want at least 1+0 and at most %d chunks together",
			ErrShape, FormatShape(s), MaxChunks)
	}
	return nil
}

// FormatShape writes a shape as ParseShape reads it.
func FormatShape(s object.Shape) string {
	if s == Auto {
		return "auto"
	}
	return strconv.Itoa(s.Data) + "+" + strconv.Itoa(s.Parity)
}
