package store

import "testing"

// Plans hold what they must, in few cells, and waste little.
func TestPlans(t *testing.T) {
	var room [maxCells]uint8
	for _, record := range []int{0, 1, 64, 100, 1000, 5000, 40_000, MaxRecord} {
		for size := 0; size <= MaxSize; size = size*129/128 + 1 {
			p := planFor(size, record, room[:])
			if len(p.cells) > 8 {
				t.Fatalf("%d bytes, record %d: %d cells", size, record, len(p.cells))
			}
			held := p.slabs*slabSize - meta(size) + linkSize
			for _, c := range p.cells {
				held += classes[c].size - linkSize
			}
			if held < size+record {
				t.Fatalf("%d bytes, record %d: the plan holds %d", size, record, held)
			}
			if classes[p.cells[0]].size < meta(size) {
				t.Fatalf("%d bytes, record %d: the head does not fit its cell", size, record)
			}
			cost := Cost(int64(size), record)
			if n := size + record; n >= 1000 && cost > int64(n+n*12/100) {
				t.Errorf("%d bytes, record %d cost %d, %.3f times", size, record, cost, float64(cost)/float64(n))
			}
		}
	}
}

func TestClasses(t *testing.T) {
	last := 0
	for i, c := range classes {
		if c.size <= last || c.size%16 != 0 || c.size*c.cells > slabSize || c.cells >= 1<<cellBits {
			t.Errorf("class %d is %+v after %d", i, c, last)
		}
		last = c.size
	}
	if last != slabSize {
		t.Errorf("largest class has %d bytes, want a slab", last)
	}
	t.Logf("%d classes", len(classes))
}
