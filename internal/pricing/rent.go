package pricing

import "math"

// Cache is what can be rented to cache in.
type Cache struct {
	Name string
	// MemoryGB is the memory of one node that can be rented for PerHour; zero
	// where memory is charged as it is used.
	MemoryGB float64
	PerHour  float64
	// PerGBHour is charged for each GB kept.
	PerGBHour float64
	// What is read and written is charged for by bytes and by request.
	PerGBRead, PerGBWritten, PerRead, PerWrite float64
	// Durable tells of storage: it forgets nothing, and is slower than memory.
	Durable bool
	// Source and Date say where the prices stand and when they were read.
	Source, Date string
}

// Use is what a cache is used for.
type Use struct {
	Bytes                   int64   // kept
	Reads, Writes           float64 // an hour
	ReadBytes, WrittenBytes float64 // an hour
}

// Offer is a rented cache of a certain size.
type Offer struct {
	Cache   Cache
	Nodes   int // 0 where there are none to count
	PerHour float64
}

// Offer is what the use costs in this cache.
func (c Cache) Offer(u Use) Offer {
	o := Offer{Cache: c}
	if c.MemoryGB > 0 {
		o.Nodes = int(max(1, math.Ceil(float64(u.Bytes)/gb/c.MemoryGB)))
		o.PerHour = float64(o.Nodes) * c.PerHour
	}
	o.PerHour += float64(u.Bytes)/gb*c.PerGBHour +
		u.ReadBytes/gb*c.PerGBRead + u.WrittenBytes/gb*c.PerGBWritten +
		u.Reads*c.PerRead + u.Writes*c.PerWrite
	return o
}

// SameMemory is the cheapest way to rent as much memory as u.Bytes. What it
// compares with is a pool of that size; how much memory the same hits take is
// another question, see SameHitRatio.
func SameMemory(u Use) Offer {
	best := Offer{PerHour: math.Inf(1)}
	for _, c := range caches {
		if o := c.Offer(u); !c.Durable && o.PerHour < best.PerHour {
			best = o
		}
	}
	return best
}

// Curve tells what hit ratio a cache of a certain size has on some trace: points
// by rising size and ratio.
type Curve []Point

// Point is one size and its hit ratio, 0 to 1.
type Point struct {
	Bytes int64
	Ratio float64
}

// Bytes is how much memory has that hit ratio, in a straight line between the
// points (the first line begins at nothing); false if no point reaches it.
func (c Curve) Bytes(ratio float64) (int64, bool) {
	var last Point
	for _, p := range c {
		switch {
		case ratio > p.Ratio:
			last = p
			continue
		case p.Ratio <= last.Ratio:
			return p.Bytes, true
		}
		share := max(0, ratio-last.Ratio) / (p.Ratio - last.Ratio)
		return last.Bytes + int64(share*float64(p.Bytes-last.Bytes)), true
	}
	return 0, false
}

// SameHitRatio is the cheapest way to rent what memory has that hit ratio by the
// curve; u.Bytes does not matter. It is false if none has.
func SameHitRatio(u Use, c Curve, ratio float64) (Offer, bool) {
	bytes, ok := c.Bytes(ratio)
	if !ok {
		return Offer{}, false
	}
	u.Bytes = bytes
	return SameMemory(u), true
}
