// Package erasure cuts stripes into chunks and codes them: any d of a stripe's
// d+p chunks give the stripe back.
//
// The code is the systematic Reed-Solomon code over GF(2^8) of
// klauspost/reedsolomon with its default (Vandermonde) matrix. The matrix is
// part of the stored format: client and proxy must agree on it.
//
// All coding runs on the caller's goroutine. Callers that have cores to spare
// code several stripes at once.
package erasure

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/reedsolomon"
)

// MaxChunks is the most chunks, d+p, that a stripe may have.
const MaxChunks = 64

var (
	// ErrShape: the shape d+p is outside the limits.
	ErrShape = errors.New("shape not allowed")
	// ErrTooFew: fewer than d chunks were given, so nothing can be rebuilt.
	ErrTooFew = errors.New("too few chunks to reconstruct")
	// ErrArgument: slices of the wrong number or length were given.
	ErrArgument = errors.New("chunks do not fit the code")
)

// CheckShape returns an error that matches ErrShape, and says what is allowed,
// unless data + parity chunks can be coded.
func CheckShape(data, parity int) error {
	if data < 1 || parity < 0 || data > MaxChunks || parity > MaxChunks-data {
		return fmt.Errorf("%w: %d+%d, want at least 1+0 and at most %d chunks together",
			ErrShape, data, parity, MaxChunks)
	}
	return nil
}

// Code encodes and reconstructs stripes of one shape. It is safe for concurrent
// use.
type Code struct {
	data, parity int

	rs      reedsolomon.Encoder // nil if parity == 0 or data == 1: nothing to compute
	scratch sync.Pool           // *[]byte: zero-padded copies of short ends
}

// New returns the code for data + parity chunks, or an error that matches
// ErrShape. It computes a matrix; owners that meet many shapes keep a Codes.
func New(data, parity int) (*Code, error) {
	if err := CheckShape(data, parity); err != nil {
		return nil, err
	}
	c := &Code{data: data, parity: parity}
	c.scratch.New = func() any { return new([]byte) }
	if parity == 0 || data == 1 {
		return c, nil
	}
	rs, err := reedsolomon.New(data, parity,
		reedsolomon.WithMaxGoroutines(1),
		reedsolomon.WithInversionCache(cacheInversions(data+parity, parity)))
	if err != nil {
		return nil, fmt.Errorf("code %d+%d: %w", data, parity, err)
	}
	c.rs = rs
	return c, nil
}

// maxInversions bounds the decoding matrices that one Code remembers.
const maxInversions = 1024

// cacheInversions tells whether the ways to lose up to parity of n chunks are few
// enough to remember a decoding matrix for each: the coder never forgets one.
func cacheInversions(n, parity int) bool {
	total, ways := 0, 1
	for k := 1; k <= parity; k++ {
		ways = ways * (n - k + 1) / k
		if total += ways; total > maxInversions {
			return false
		}
	}
	return true
}

// Data is d.
func (c *Code) Data() int { return c.data }

// Parity is p.
func (c *Code) Parity() int { return c.parity }

// Codes remembers the codes in use, so that each matrix is computed once. The
// zero Codes is ready; it is safe for concurrent use.
type Codes struct {
	mu    sync.Mutex
	codes map[[2]int]*Code
}

// maxCodes bounds what a Codes remembers, whatever shapes peers ask for.
const maxCodes = 64

// Get returns the code for data + parity chunks, or an error that matches
// ErrShape.
func (cs *Codes) Get(data, parity int) (*Code, error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	shape := [2]int{data, parity}
	if c := cs.codes[shape]; c != nil {
		return c, nil
	}
	c, err := New(data, parity)
	if err != nil {
		return nil, err
	}
	if cs.codes == nil {
		cs.codes = make(map[[2]int]*Code)
	}
	for old := range cs.codes {
		if len(cs.codes) < maxCodes {
			break
		}
		delete(cs.codes, old)
	}
	cs.codes[shape] = c
	return c, nil
}
