package wire

// List is the metadata of LIST: the instance names the chunks that it stored
// after position After of its changes, the newest first, and 0 means all. HOLDING
// frames follow on the stream, as many as StreamCredit and CREDIT allow, then DONE
// with the position that the instance was at when the LIST arrived: a later LIST
// after that position names all that this one did not. Chunks that are freed or
// stored again meanwhile may be missing or, in two such lists, named twice.
type List struct {
	Fence
	After uint64
}

func (m *List) Append(b []byte) []byte { return put64(m.Fence.put(b), m.After) }

func (m *List) Decode(b []byte) error {
	r := reader{b: b}
	*m = List{Fence: r.fence(), After: r.u64()}
	return r.end("LIST")
}

// Held is a chunk that an instance holds.
type Held struct {
	Chunk  Chunk
	Size   uint32 // bytes
	Record []byte // encoded Record; valid as long as the frame's memory
}

// Holding is the metadata of HOLDING. Successive items of one version carry its
// record once, and must have the same.
type Holding struct {
	Items []Held // 1 to MaxHoldings
}

// holdingCount and heldSize are the bytes of a Holding without items, and of an
// item beside its record.
const (
	holdingCount = 2
	heldSize     = 14 + 4 + 1
)

// Fits says whether the frame stays within MaxHoldings and MaxMeta with one more
// item. The first always fits if its record came in a STORE. The time it takes
// grows with the items that there are.
func (m *Holding) Fits(item Held) bool {
	if len(m.Items) == MaxHoldings {
		return false
	}
	size := holdingCount
	for i := range m.Items {
		size += m.Items[i].size(m.Items[:i])
	}
	return size+item.size(m.Items) <= MaxMeta
}

// size is the bytes of an item after others.
func (h *Held) size(before []Held) int {
	if h.repeats(before) {
		return heldSize
	}
	return heldSize + 4 + len(h.Record)
}

// repeats says whether an item has its record from the one before it.
func (h *Held) repeats(before []Held) bool {
	n := len(before)
	return n > 0 && before[n-1].Chunk.Version == h.Chunk.Version
}

func (m *Holding) Append(b []byte) []byte {
	b = put16(b, uint16(len(m.Items)))
	for i, h := range m.Items {
		b = put32(h.Chunk.put(b), h.Size)
		same := h.repeats(m.Items[:i])
		b = putBool(b, same)
		if !same {
			b = putString(b, h.Record)
		}
	}
	return b
}

func (m *Holding) Decode(b []byte) error {
	r := reader{b: b}
	n := int(r.u16())
	m.Items = m.Items[:0]
	if r.err == nil && (n == 0 || n > MaxHoldings) {
		r.failf("%d items, allowed are 1 to %d", n, MaxHoldings)
	}
	for i := range n {
		h := Held{Chunk: r.chunk(), Size: r.u32()}
		switch same, repeats := r.bool(), h.repeats(m.Items); {
		case r.err != nil:
		case same != repeats:
			r.failf("item %d: a record is carried once, by the first item of its version", i)
		case same:
			h.Record = m.Items[i-1].Record
		default:
			h.Record = r.bytes(MaxMeta)
		}
		if r.err == nil && (h.Size == 0 || h.Size > MaxChunkSize) {
			r.failf("chunk of %d bytes, allowed are 1 to %d", h.Size, MaxChunkSize)
		}
		if r.err != nil {
			break
		}
		m.Items = append(m.Items, h)
	}
	return r.end("HOLDING")
}
