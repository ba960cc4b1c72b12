package wire

// Open is the metadata of OPEN, STAT, DELETE: the key.
type Open struct {
	Key string // 1 to MaxKey bytes
}

func (m *Open) Append(b []byte) []byte { return putString(b, m.Key) }

func (m *Open) Decode(b []byte) error {
	r := reader{b: b}
	m.Key = r.key()
	return r.end("OPEN")
}

// Record describes an object version. It is what OPENED carries, and what a
// node keeps beside each chunk so that a catalog can be made anew from nodes.
type Record struct {
	Key     string
	Version uint64 // not 0
	Size    int64  // bytes
	Data    uint8  // d, at least 1
	Parity  uint8  // p; d+p is at most MaxChunks
	Stripe  int64  // bytes of object per stripe, at least 1
	Expires int64  // Unix milliseconds by the proxy's clock; 0 is never
	Stored  int64  // Unix milliseconds by the proxy's clock
	Seal    Seal   // zero if the bytes are what was stored; else they are its sealed form, Size too
}

func (m *Record) Append(b []byte) []byte {
	b = putString(b, m.Key)
	b = put64(b, m.Version)
	b = put64(b, uint64(m.Size))
	b = append(b, m.Data|m.Seal.flag(), m.Parity)
	b = put64(b, uint64(m.Stripe))
	b = put64(b, uint64(m.Expires))
	b = put64(b, uint64(m.Stored))
	return m.Seal.put(b)
}

func (m *Record) Decode(b []byte) error {
	r := reader{b: b}
	m.read(&r)
	return r.end("record")
}

func (m *Record) read(r *reader) {
	*m = Record{
		Key: r.key(), Version: r.u64(), Size: r.size(MaxObject),
		Data: r.u8(), Parity: r.u8(), Stripe: r.size(MaxObject),
		Expires: r.size(1<<62 - 1), Stored: r.size(1<<62 - 1),
	}
	m.Seal = r.seal(&m.Data)
	if r.err != nil {
		return
	}
	switch {
	case m.Version == 0:
		r.failf("version is 0")
	case m.Data == 0 || int(m.Data)+int(m.Parity) > MaxChunks:
		r.failf("shape is %d+%d, allowed are 1+0 to %d chunks", m.Data, m.Parity, MaxChunks)
	case m.Stripe == 0:
		r.failf("stripe of 0 bytes")
	case (m.Size+m.Stripe-1)/m.Stripe > 1<<32-1:
		r.failf("more stripes than 32 bits count")
	case min(m.Size, m.Stripe) > int64(m.Data)*MaxChunkSize:
		r.failf("stripes of %d bytes in %d chunks exceed %d bytes a chunk", m.Stripe, m.Data, MaxChunkSize)
	}
}

// Opened is the metadata of OPENED.
type Opened struct {
	Record
	// ExpiresIn is what remains until expiry in milliseconds, 0 for never: the
	// client does not judge expiry by its own clock.
	ExpiresIn int64
	// Ready has bit i set if chunk i of the first stripe can be read without
	// waking a node, Gone if it is known lost or unheard. Hints only.
	Ready, Gone uint64
}

func (m *Opened) Append(b []byte) []byte {
	b = m.Record.Append(b)
	b = put64(b, uint64(m.ExpiresIn))
	b = put64(b, m.Ready)
	return put64(b, m.Gone)
}

func (m *Opened) Decode(b []byte) error {
	r := reader{b: b}
	m.Record.read(&r)
	m.ExpiresIn, m.Ready, m.Gone = r.size(1<<62-1), r.u64(), r.u64()
	return r.end("OPENED")
}

// Want asks for blocks From to To-1 of a chunk.
type Want struct {
	Chunk    uint16
	From, To uint32 // blocks; From < To
}

// Read is the metadata of READ, whose own stream is new.
type Read struct {
	Open   uint32 // the stream of the OPEN that pinned the version
	Stripe uint32
	Wants  []Want // 1 to MaxChunks, no chunk twice
}

func (m *Read) Append(b []byte) []byte {
	b = put32(b, m.Open)
	b = put32(b, m.Stripe)
	b = append(b, byte(len(m.Wants)))
	for _, w := range m.Wants {
		b = put16(b, w.Chunk)
		b = put32(b, w.From)
		b = put32(b, w.To)
	}
	return b
}

func (m *Read) Decode(b []byte) error {
	r := reader{b: b}
	m.Open, m.Stripe = r.u32(), r.u32()
	n := int(r.u8())
	m.Wants = m.Wants[:0]
	if r.err == nil && (n == 0 || n > MaxChunks) {
		r.failf("%d chunks, allowed are 1 to %d", n, MaxChunks)
	}
	var seen uint64
	for range n {
		w := Want{Chunk: r.u16(), From: r.u32(), To: r.u32()}
		if r.err != nil {
			break
		}
		if w.Chunk >= MaxChunks || seen&(1<<w.Chunk) != 0 {
			r.failf("chunk %d twice or not below %d", w.Chunk, MaxChunks)
			break
		}
		if w.From >= w.To || w.To > MaxChunkSize/BlockSize {
			r.failf("blocks %d to %d of chunk %d, allowed is a rising range up to %d", w.From, w.To, w.Chunk, MaxChunkSize/BlockSize)
			break
		}
		seen |= 1 << w.Chunk
		m.Wants = append(m.Wants, w)
	}
	return r.end("READ")
}

// Put is the metadata of PUT.
type Put struct {
	Key          string
	Size         int64 // bytes; -1: not known yet, and more than a stripe
	ExpiresIn    int64 // milliseconds from now; 0 is never, negative is already over
	KeepExpiry   bool
	Condition    uint8 // object.Condition
	Data, Parity uint8 // shape; Data 0: by size and pool
	Seal         Seal  // as in a Record
}

func (m *Put) Append(b []byte) []byte {
	b = putString(b, m.Key)
	b = put64(b, uint64(m.Size))
	b = put64(b, uint64(m.ExpiresIn))
	b = putBool(b, m.KeepExpiry)
	b = append(b, m.Condition, m.Data|m.Seal.flag(), m.Parity)
	return m.Seal.put(b)
}

func (m *Put) Decode(b []byte) error {
	r := reader{b: b}
	*m = Put{
		Key: r.key(), Size: int64(r.u64()), ExpiresIn: int64(r.u64()),
		KeepExpiry: r.bool(), Condition: r.u8(), Data: r.u8(), Parity: r.u8(),
	}
	m.Seal = r.seal(&m.Data)
	if r.err == nil {
		switch {
		case m.Size < -1 || m.Size > MaxObject:
			r.failf("size %d, allowed are -1 to %d", m.Size, int64(MaxObject))
		case m.Condition > 2:
			r.failf("condition %d, allowed are 0 to 2", m.Condition)
		case int(m.Data)+int(m.Parity) > MaxChunks || m.Data == 0 && m.Parity != 0:
			r.failf("shape is %d+%d, allowed are 0+0 and 1+0 to %d chunks", m.Data, m.Parity, MaxChunks)
		}
	}
	return r.end("PUT")
}

// Placed is the metadata of PLACED: how the object is to be cut and coded.
type Placed struct {
	Version      uint64
	Data, Parity uint8
	Stripe       int64  // bytes of object per stripe
	Window       uint32 // bytes of blocks that may be under way without CREDIT
}

func (m *Placed) Append(b []byte) []byte {
	b = put64(b, m.Version)
	b = append(b, m.Data, m.Parity)
	b = put64(b, uint64(m.Stripe))
	return put32(b, m.Window)
}

func (m *Placed) Decode(b []byte) error {
	r := reader{b: b}
	*m = Placed{Version: r.u64(), Data: r.u8(), Parity: r.u8(), Stripe: r.size(MaxObject), Window: r.u32()}
	if r.err == nil {
		switch {
		case m.Version == 0:
			r.failf("version is 0")
		case m.Data == 0 || int(m.Data)+int(m.Parity) > MaxChunks:
			r.failf("shape is %d+%d, allowed are 1+0 to %d chunks", m.Data, m.Parity, MaxChunks)
		case m.Stripe == 0 || m.Stripe > int64(m.Data)*MaxChunkSize:
			r.failf("stripe of %d bytes, allowed are 1 to %d", m.Stripe, int64(m.Data)*MaxChunkSize)
		case m.Window < BlockSize:
			r.failf("window of %d bytes, at least %d", m.Window, BlockSize)
		}
	}
	return r.end("PLACED")
}

// Stripe is the metadata of STRIPE, which comes before the blocks of each stripe
// of a PUT. Only the last stripe may be shorter than Placed says.
type Stripe struct {
	Stripe uint32
	Length int64 // bytes of object, at least 1
}

func (m *Stripe) Append(b []byte) []byte { return put64(put32(b, m.Stripe), uint64(m.Length)) }

func (m *Stripe) Decode(b []byte) error {
	r := reader{b: b}
	m.Stripe, m.Length = r.u32(), r.size(MaxObject)
	if r.err == nil && m.Length == 0 {
		r.failf("stripe of 0 bytes")
	}
	return r.end("STRIPE")
}

// Place names one chunk of a PUT. It is the metadata of STORED, where Chunk is
// 0, and of RESEND.
type Place struct {
	Stripe uint32
	Chunk  uint16
}

func (m *Place) Append(b []byte) []byte { return put16(put32(b, m.Stripe), m.Chunk) }

func (m *Place) Decode(b []byte) error {
	r := reader{b: b}
	m.Stripe, m.Chunk = r.u32(), r.u16()
	return r.end("place")
}

// Commit is the metadata of COMMIT.
type Commit struct {
	Size    int64 // bytes of the whole object
	Stripes uint32
}

func (m *Commit) Append(b []byte) []byte { return put32(put64(b, uint64(m.Size)), m.Stripes) }

func (m *Commit) Decode(b []byte) error {
	r := reader{b: b}
	m.Size, m.Stripes = r.size(MaxObject), r.u32()
	return r.end("COMMIT")
}

// Credit is the metadata of CREDIT: so many more bytes of blocks, or of metadata
// of HOLDING, may be sent on the stream.
type Credit struct {
	Bytes uint32
}

func (m *Credit) Append(b []byte) []byte { return put32(b, m.Bytes) }

func (m *Credit) Decode(b []byte) error {
	r := reader{b: b}
	m.Bytes = r.u32()
	return r.end("CREDIT")
}
