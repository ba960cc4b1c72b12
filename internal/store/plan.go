package store

import (
	"sort"

	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// slabSize is the unit of memory: a slab holds a part of one chunk's blocks,
	// or is cut into cells of one class. Every slab can serve every purpose, so
	// that free memory is never in the wrong places.
	slabSize = 32 << 10

	slabsPerBlock = wire.BlockSize / slabSize

	// indexCost is the most memory in bytes that a chunk takes in the index: its
	// place in the table of chunks, and its share of a hash table that is between
	// 3/8 and 3/4 full (after frees, once Trim was called).
	indexCost = 16
)

// class is one way to cut a slab into cells.
type class struct {
	size  int // bytes of a cell, a multiple of 16
	cells int // per slab
}

// charge is what a cell costs: its share of the slab, the unused end included.
func (c class) charge() int64 { return int64((slabSize + c.cells - 1) / c.cells) }

// classes is the table of classes, smallest cells first: down to 1 KiB every way
// to cut a slab into equal cells, below it steps of about 1/16.
var classes = func() (table []class) {
	for size := 64; size < 1024; size += max(size/16&^15, 16) {
		table = append(table, class{size, slabSize / size})
	}
	for n := 32; n >= 1; n-- {
		table = append(table, class{slabSize / n &^ 15, n})
	}
	return table
}()

// fit is the index of the smallest class whose cells hold n bytes, or
// len(classes).
func fit(n int) int {
	return sort.Search(len(classes), func(i int) bool { return classes[i].size >= n })
}

// plan is how a chunk is laid into memory: whole slabs for as much of its bytes
// as fill them, and a list of cells for the rest. The cells hold, in this order:
// header, block checksums, slab numbers, record, and the chunk's tail, which is
// what did not fill a slab.
type plan struct {
	slabs int
	cells []uint8 // indices into classes; the first is the head
}

// meta is the length in bytes of what the head cell must hold unbroken.
func meta(size int) int {
	return headerSize + 4*blocks(size) + 4*(size/slabSize)
}

// blocks is the number of blocks of a chunk.
func blocks(size int) int { return (size + wire.BlockSize - 1) / wire.BlockSize }

// planFor is the plan for a chunk of size bytes with a record. It uses one cell
// where that wastes little of the whole, and fills cells to the brim where not.
func planFor(size, record int, cells []uint8) plan {
	p := plan{slabs: size / slabSize, cells: cells[:0]}
	head := meta(size)
	rest := head + record + size%slabSize
	waste := max((size+record)/32, 48)
	for {
		c := fit(rest)
		if c < len(classes) && classes[c].size-rest <= waste {
			p.cells = append(p.cells, uint8(c))
			return p
		}
		full := c
		if c == len(classes) || classes[c].size > rest {
			full--
		}
		if len(p.cells) == 0 && (full < 0 || classes[full].size < head) || full < 0 {
			p.cells = append(p.cells, uint8(c))
			return p
		}
		p.cells = append(p.cells, uint8(full))
		rest += linkSize - classes[full].size
	}
}

func (p plan) cost() int64 {
	cost := int64(p.slabs)*slabSize + indexCost
	for _, c := range p.cells {
		cost += classes[c].charge()
	}
	return cost
}

// maxCells is more cells than any plan has.
const maxCells = 16

// Cost is the memory in bytes that a chunk of size bytes with a record of so many
// bytes counts for, index included. It depends on nothing else, so that a proxy
// can account for a node's memory exactly.
func Cost(size int64, record int) int64 {
	var cells [maxCells]uint8
	return planFor(int(size), record, cells[:]).cost()
}
