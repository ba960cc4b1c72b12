package erasure

import "fmt"

// lane is the alignment at which columns are divided, a multiple of every vector
// width that the coder uses.
const lane = 64

// Encode computes the parity chunks of a stripe. data holds d slices, normally
// parts of the object's own buffer (Layout.Split); short ones count as padded
// with zeros. parity holds p slices, all of one length C, the width of the
// stripe; they are overwritten. data is only read.
//
// With one data chunk the parity chunks are copies of it: a caller that only
// sends them may alias the data chunk instead and not call Encode at all.
func (c *Code) Encode(data, parity [][]byte) error {
	if len(data) != c.data || len(parity) != c.parity {
		return fmt.Errorf("%w: %d+%d given, want %d+%d", ErrArgument, len(data), len(parity), c.data, c.parity)
	}
	if c.parity == 0 {
		return nil
	}
	size := len(parity[0])
	for i, p := range parity {
		if len(p) != size {
			return fmt.Errorf("%w: parity chunk %d has %d bytes, the first %d", ErrArgument, i, len(p), size)
		}
	}
	for i, d := range data {
		if len(d) > size {
			return fmt.Errorf("%w: data chunk %d has %d bytes, more than the width %d", ErrArgument, i, len(d), size)
		}
	}
	if c.data == 1 {
		for _, p := range parity {
			clear(p[copy(p, data[0]):])
		}
		return nil
	}
	all := make([][]byte, 0, c.data+c.parity)
	all = append(append(all, data...), parity...)
	return c.columns(all, nil, size, c.rs.Encode)
}

// Reconstruct rebuilds chunks from any d others. chunks and dst hold d+p slices
// each, in chunk order.
//
// chunks[i] is what is at hand, nil if missing. A data chunk is given at its true
// length; one that is empty there is given as an empty slice that is not nil,
// and counts among the d (an empty chunk need not be fetched to be known).
// dst[i] is a buffer for a chunk that is wanted, data or parity, nil if it is not
// wanted; its length is the chunk's true length. size is the width: C, or, to
// read only some columns [lo, hi) of the stripe, hi-lo with all slices cut to the
// same columns (Layout.LenIn).
//
// Wanted chunks that are at hand are copied. With fewer than d chunks at hand the
// error matches ErrTooFew and dst is unchanged.
func (c *Code) Reconstruct(chunks, dst [][]byte, size int) error {
	n := c.data + c.parity
	if len(chunks) != n || len(dst) != n || size < 0 {
		return fmt.Errorf("%w: %d chunks and %d buffers of width %d given, want %d", ErrArgument, len(chunks), len(dst), size, n)
	}
	have, rebuild := 0, false
	for i, ch := range chunks {
		if len(ch) > size || len(dst[i]) > size {
			return fmt.Errorf("%w: chunk %d has more bytes than the width %d", ErrArgument, i, size)
		}
		if i >= c.data && (ch != nil && len(ch) != size || dst[i] != nil && len(dst[i]) != size) {
			return fmt.Errorf("%w: parity chunk %d is not of the width %d", ErrArgument, i, size)
		}
		if ch != nil && dst[i] != nil && len(ch) != len(dst[i]) {
			return fmt.Errorf("%w: chunk %d has %d bytes, its buffer %d", ErrArgument, i, len(ch), len(dst[i]))
		}
		if ch != nil {
			have++
		} else if len(dst[i]) > 0 {
			rebuild = true
		}
	}
	if rebuild && have < c.data {
		return fmt.Errorf("%w: %d of %d at hand", ErrTooFew, have, c.data)
	}
	for i, ch := range chunks {
		if ch != nil {
			copy(dst[i], ch)
		}
	}
	if !rebuild {
		return nil
	}
	if c.data == 1 {
		return c.replicate(chunks, dst)
	}
	want := make([]bool, n)
	for i := range want {
		want[i] = chunks[i] == nil && len(dst[i]) > 0
	}
	all := make([][]byte, n)
	copy(all, chunks)
	return c.columns(all, dst, size, func(shards [][]byte) error {
		return c.rs.ReconstructSome(shards, want)
	})
}

// replicate rebuilds with one data chunk, of which every parity chunk is a copy.
func (c *Code) replicate(chunks, dst [][]byte) error {
	var src []byte
	for _, ch := range chunks {
		if len(ch) >= len(src) && ch != nil {
			src = ch
		}
	}
	for i, d := range dst {
		if chunks[i] == nil {
			clear(d[copy(d, src):])
		}
	}
	return nil
}

// columns runs code over shards of equal width although some of all are short.
// all[i] is an input, or nil; dst[i], where all[i] is nil, is the output buffer
// for it. Columns that every shard has are coded in place; for the few after
// them the short ones are replaced by zero-padded scratch.
func (c *Code) columns(all, dst [][]byte, size int, code func([][]byte) error) error {
	full := size
	for i := range all {
		if s := shardAt(all, dst, i); len(s) > 0 {
			full = min(full, len(s))
		}
	}
	if full < size {
		full -= full % lane
	}
	shards := make([][]byte, len(all))
	if full > 0 {
		if err := c.pass(shards, all, dst, 0, full, code); err != nil {
			return err
		}
	}
	if full < size {
		return c.pass(shards, all, dst, full, size, code)
	}
	return nil
}

func shardAt(all, dst [][]byte, i int) []byte {
	if all[i] == nil && dst != nil {
		return dst[i]
	}
	return all[i]
}

// pass codes the columns [lo, hi).
func (c *Code) pass(shards, all, dst [][]byte, lo, hi int, code func([][]byte) error) error {
	width, short := hi-lo, 0
	for i := range all {
		if s := shardAt(all, dst, i); s != nil && len(s) < hi {
			short++
		}
	}
	var pad []byte
	if short > 0 {
		buf := c.scratch.Get().(*[]byte)
		defer c.scratch.Put(buf)
		if cap(*buf) < short*width {
			*buf = make([]byte, short*width)
		}
		pad = (*buf)[:short*width]
		clear(pad)
	}
	take := func(s []byte) []byte {
		if len(s) >= hi {
			return s[lo:hi:hi]
		}
		p := pad[:width:width]
		pad = pad[width:]
		if lo < len(s) {
			copy(p, s[lo:])
		}
		return p
	}
	for i := range all {
		switch {
		case all[i] != nil:
			shards[i] = take(all[i])
		case dst != nil && len(dst[i]) > 0:
			shards[i] = take(dst[i])[:0] // the coder writes into the capacity
		default:
			shards[i] = nil
		}
	}
	if err := code(shards); err != nil {
		return fmt.Errorf("code %d+%d: %w", c.data, c.parity, err)
	}
	for i := range all {
		if all[i] == nil && dst != nil && lo < len(dst[i]) && len(dst[i]) < hi {
			copy(dst[i][lo:], shards[i])
		}
	}
	return nil
}
