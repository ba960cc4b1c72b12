package erasure

// Layout says how one stripe of an object is cut into chunks. With L bytes and d
// data chunks every chunk is C = ceil(L/d) bytes wide; data chunk i is the
// stripe's bytes [i*C, (i+1)*C) as far as the stripe reaches, so that the last
// data chunks may be short or empty (fewer than d bytes are missing in all).
// Nothing is padded where it is stored or sent; only the code sees a short chunk
// as if zeros followed. Parity chunks are exactly C bytes.
//
// Chunks are numbered from 0, data before parity. The zero Layout has no chunks.
type Layout struct {
	length int64
	data   int
	parity int
	chunk  int
}

// NewLayout lays out a stripe of length bytes over data + parity chunks. The
// shape must be one that CheckShape accepts; a negative length counts as 0.
func NewLayout(length int64, data, parity int) Layout {
	length, data, parity = max(length, 0), max(data, 1), max(parity, 0)
	d := int64(data)
	return Layout{length: length, data: data, parity: parity, chunk: int((length + d - 1) / d)}
}

// Length is the number of the stripe's own bytes.
func (l Layout) Length() int64 { return l.length }

// Data is the number of data chunks.
func (l Layout) Data() int { return l.data }

// Parity is the number of parity chunks.
func (l Layout) Parity() int { return l.parity }

// Chunks is the number of all chunks.
func (l Layout) Chunks() int { return l.data + l.parity }

// ChunkSize is the width C in bytes: the length of every parity chunk and of
// every data chunk that is not short. It is 0 only for an empty stripe.
func (l Layout) ChunkSize() int { return l.chunk }

// Offset is where data chunk i begins in the stripe; for one that holds nothing
// it is the stripe's end. Parity chunks have no place in the stripe: the answer
// for them is the stripe's end, too.
func (l Layout) Offset(i int) int64 {
	if i >= l.data {
		return l.length
	}
	return min(int64(i)*int64(l.chunk), l.length)
}

// Len is the number of bytes that chunk i stores.
func (l Layout) Len(i int) int {
	if i >= l.data {
		return l.chunk
	}
	return int(min(l.Offset(i)+int64(l.chunk), l.length) - l.Offset(i))
}

// LenIn is how many of the columns [lo, hi) chunk i stores: hi-lo, or less where
// the chunk is short. A degraded range read gives Code.Reconstruct slices of
// exactly these lengths.
func (l Layout) LenIn(i, lo, hi int) int {
	return max(min(hi, l.Len(i))-lo, 0)
}

// Blocks is the number of blocks of blockSize bytes that chunk i is moved in;
// the last may be short. An empty chunk has none.
func (l Layout) Blocks(i, blockSize int) int {
	return (l.Len(i) + blockSize - 1) / blockSize
}

// Span is the part of data chunk i, as columns [lo, hi), that lies in the
// stripe's bytes [off, off+n). It is empty, lo == hi, where they do not meet.
func (l Layout) Span(i int, off, n int64) (lo, hi int) {
	begin, end := l.Offset(i), l.Offset(i)+int64(l.Len(i))
	from, to := max(off, begin), min(off+n, end)
	if i >= l.data || from >= to {
		return 0, 0
	}
	return int(from - begin), int(to - begin)
}

// Split cuts a stripe's buffer, Length bytes, into its data chunks without
// copying. The slices share buf and cannot grow into each other; none is nil.
func (l Layout) Split(buf []byte) [][]byte {
	chunks := make([][]byte, l.data)
	for i := range chunks {
		lo := l.Offset(i)
		hi := lo + int64(l.Len(i))
		chunks[i] = buf[lo:hi:hi]
	}
	return chunks
}
