package wire

import (
	"errors"
	"testing"
)

// A record is carried by the first item of its version and by no other.
func TestHoldingCarriesRecordsOnce(t *testing.T) {
	one := Held{Chunk: Chunk{Version: 1}, Size: 1, Record: []byte("record")}
	item := func(version uint64, same bool) []byte {
		b := putBool(put32(Chunk{Version: version}.put(nil), 1), same)
		if !same {
			b = putString(b, "record")
		}
		return b
	}
	count := put16(nil, 2)
	for _, c := range []struct {
		name string
		b    [][]byte
		good bool
	}{
		{"of two versions", [][]byte{count, item(1, false), item(2, false)}, true},
		{"of one version", [][]byte{count, item(1, false), item(1, true)}, true},
		{"repeated", [][]byte{count, item(1, false), item(1, false)}, false},
		{"missing at the first", [][]byte{count, item(1, true), item(1, true)}, false},
		{"missing at another version", [][]byte{count, item(1, false), item(2, true)}, false},
	} {
		var b []byte
		for _, part := range c.b {
			b = append(b, part...)
		}
		var m Holding
		if err := m.Decode(b); c.good != (err == nil) || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", c.name, err)
		} else if c.good && string(m.Items[1].Record) != string(one.Record) {
			t.Errorf("%s: the second item has record %q", c.name, m.Items[1].Record)
		}
	}
}

// Fits fills frames to the limits and not beyond.
func TestHoldingFits(t *testing.T) {
	for _, c := range []struct {
		name    string
		record  int
		version func(i int) uint64
		want    int // items
	}{
		{"no records", 0, func(i int) uint64 { return uint64(i) }, MaxHoldings},
		{"one version", 60_000, func(int) uint64 { return 7 }, MaxHoldings},
		{"short records", 100, func(i int) uint64 { return uint64(i) }, MaxHoldings},
		{"long records", 1000, func(i int) uint64 { return uint64(i) }, (MaxMeta - 2) / 1023},
		{"one record that fills it", MaxMeta - 2 - 23, func(i int) uint64 { return uint64(i) }, 1},
		{"a record too long for any", MaxMeta - 2 - 22, func(i int) uint64 { return uint64(i) }, 0},
	} {
		var m Holding
		for i := 0; ; i++ {
			h := Held{Chunk: Chunk{Version: c.version(i)}, Size: 1, Record: make([]byte, c.record)}
			if !m.Fits(h) {
				with := Holding{Items: append(m.Items[:i:i], h)}
				if size := len(with.Append(nil)); size <= MaxMeta && i < MaxHoldings {
					t.Errorf("%s: item %d would fit, for the frame has %d bytes", c.name, i, size)
				}
				break
			}
			m.Items = append(m.Items, h)
		}
		if size := len(m.Append(nil)); len(m.Items) != c.want || size > MaxMeta {
			t.Errorf("%s: %d items in %d bytes, want %d", c.name, len(m.Items), size, c.want)
		}
	}
	// The longest record that a STORE can bring.
	longest := make([]byte, MaxMeta-len((&Store{}).Append(nil)))
	if !new(Holding).Fits(Held{Size: 1, Record: longest}) {
		t.Errorf("a record of %d bytes does not fit", len(longest))
	}
}

// Decoding allocates for items that are there, whatever is declared.
func TestHoldingAllocatesWithinLimits(t *testing.T) {
	var m Holding
	if err := m.Decode([]byte{0xff, 0xff, 1}); !errors.Is(err, ErrProtocol) || cap(m.Items) != 0 {
		t.Errorf("65,535 declared items: error %v, room for %d", err, cap(m.Items))
	}
	if err := m.Decode([]byte{0, 2, 1}); !errors.Is(err, ErrProtocol) || cap(m.Items) != 0 {
		t.Errorf("512 declared items of which none is there: error %v, room for %d", err, cap(m.Items))
	}
	many := Holding{}
	for i := range MaxHoldings {
		many.Items = append(many.Items, Held{Chunk: Chunk{Version: uint64(i)}, Size: 1, Record: make([]byte, 50)})
	}
	b := many.Append(nil)
	if err := m.Decode(b); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { m.Decode(b) }); n > 1 {
		t.Errorf("decoding into used memory allocates %v times", n)
	}
}
