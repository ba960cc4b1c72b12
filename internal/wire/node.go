package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// Instance is the random identity that an instance gives itself at its start.
type Instance [16]byte

func (i Instance) String() string { return hex.EncodeToString(i[:4]) }

// ProofSize is the bytes of a session's secret.
const ProofSize = sha256.Size

// Secret is the secret of one session: HMAC-SHA-256 of epoch, node and session
// under the pool's key. It travels with the invocation, and the hello must show
// it, so that nobody else can pose as the node and a restarted proxy can verify
// a hello without having kept anything but the key.
func Secret(poolKey []byte, epoch uint64, node uint32, session uint64) [ProofSize]byte {
	h := hmac.New(sha256.New, poolKey)
	var b []byte
	b = put64(b, epoch)
	b = put32(b, node)
	b = put64(b, session)
	h.Write(b)
	return [ProofSize]byte(h.Sum(nil))
}

// Hello is the metadata of HELLO.
type Hello struct {
	Node     uint32
	Instance Instance
	Epoch    uint64
	Session  uint64
	Proof    [ProofSize]byte // Secret of the session
	Capacity uint64          // bytes the instance can hold in all
	Used     uint64          // bytes it holds now
	Chunks   uint64          // how many chunks it holds
	// Position counts the changes the instance has made to its chunks since its
	// start, and Digest is a hash over them, so that a proxy that knows both
	// knows the holdings.
	Position, Digest uint64
}

func (m *Hello) Append(b []byte) []byte {
	b = put32(b, m.Node)
	b = append(b, m.Instance[:]...)
	b = put64(b, m.Epoch)
	b = put64(b, m.Session)
	b = append(b, m.Proof[:]...)
	b = put64(b, m.Capacity)
	b = put64(b, m.Used)
	b = put64(b, m.Chunks)
	b = put64(b, m.Position)
	return put64(b, m.Digest)
}

func (m *Hello) Decode(b []byte) error {
	r := reader{b: b}
	*m = Hello{Node: r.u32()}
	copy(m.Instance[:], r.take(len(m.Instance)))
	m.Epoch, m.Session = r.u64(), r.u64()
	copy(m.Proof[:], r.take(len(m.Proof)))
	m.Capacity, m.Used, m.Chunks = r.u64(), r.u64(), r.u64()
	m.Position, m.Digest = r.u64(), r.u64()
	if r.err == nil && (m.Capacity > MaxObject || m.Used > MaxObject) {
		r.failf("capacity %d or used %d bytes beyond %d", m.Capacity, m.Used, int64(MaxObject))
	}
	return r.end("HELLO")
}

// Session is the metadata of WELCOME, ASLEEP, STAY, PING, PONG, NOTICE and BYE,
// and of SLEEP, where Number is how many requests the node received on this link
// in this session. In PING and PONG Number pairs the two; a PONG of 0 was not
// asked for. In WELCOME it is 1 if
// the proxy knows nothing of what the instance holds, which then drops all of it.
// In STAY it is the milliseconds that the node stays at least, in NOTICE those
// that it has left. Elsewhere it is 0.
type Session struct {
	Epoch   uint64
	Session uint64
	Number  uint64
}

func (m *Session) Append(b []byte) []byte {
	return put64(put64(put64(b, m.Epoch), m.Session), m.Number)
}

func (m *Session) Decode(b []byte) error {
	r := reader{b: b}
	*m = Session{Epoch: r.u64(), Session: r.u64(), Number: r.u64()}
	return r.end("session")
}

// Chunk names a chunk in the pool: versions are unique there.
type Chunk struct {
	Version uint64
	Stripe  uint32
	Index   uint16
}

// Fence is what every request to a node carries first: the node refuses an
// epoch or session that is not the one it serves.
type Fence struct {
	Epoch   uint64
	Session uint64
}

func (f Fence) put(b []byte) []byte { return put64(put64(b, f.Epoch), f.Session) }

func (r *reader) fence() Fence { return Fence{Epoch: r.u64(), Session: r.u64()} }

func (c Chunk) put(b []byte) []byte {
	return put16(put32(put64(b, c.Version), c.Stripe), c.Index)
}

func (r *reader) chunk() Chunk {
	return Chunk{Version: r.u64(), Stripe: r.u32(), Index: r.u16()}
}

// Fetch is the metadata of FETCH.
type Fetch struct {
	Fence
	Chunk    Chunk
	From, To uint32 // blocks; From < To
	Credit   uint32 // bytes of blocks that may be under way without CREDIT
}

func (m *Fetch) Append(b []byte) []byte {
	b = m.Chunk.put(m.Fence.put(b))
	return put32(put32(put32(b, m.From), m.To), m.Credit)
}

func (m *Fetch) Decode(b []byte) error {
	r := reader{b: b}
	*m = Fetch{Fence: r.fence(), Chunk: r.chunk(), From: r.u32(), To: r.u32(), Credit: r.u32()}
	if r.err == nil && (m.From >= m.To || m.To > MaxChunkSize/BlockSize) {
		r.failf("blocks %d to %d, allowed is a rising range up to %d", m.From, m.To, MaxChunkSize/BlockSize)
	}
	return r.end("FETCH")
}

// Store is the metadata of STORE. Its blocks follow on the same stream, in any
// order, each once.
type Store struct {
	Fence
	Chunk  Chunk
	Size   uint32 // bytes of the chunk, at least 1
	Record []byte // encoded Record of the object; valid as long as the frame's memory
}

func (m *Store) Append(b []byte) []byte {
	b = m.Chunk.put(m.Fence.put(b))
	return putString(put32(b, m.Size), m.Record)
}

func (m *Store) Decode(b []byte) error {
	r := reader{b: b}
	*m = Store{Fence: r.fence(), Chunk: r.chunk(), Size: r.u32(), Record: r.bytes(MaxMeta)}
	if r.err == nil && (m.Size == 0 || m.Size > MaxChunkSize) {
		r.failf("chunk of %d bytes, allowed are 1 to %d", m.Size, MaxChunkSize)
	}
	return r.end("STORE")
}

// WholeVersion as the Stripe of an item of FREE means all chunks of a version
// that the instance holds.
const WholeVersion = 1<<32 - 1

// Free is the metadata of FREE. Chunks that are not held are no error; DONE's
// value is the bytes that the instance uses after it.
type Free struct {
	Fence
	Chunks []Chunk // 1 to MaxFrees
}

func (m *Free) Append(b []byte) []byte {
	b = put16(m.Fence.put(b), uint16(len(m.Chunks)))
	for _, c := range m.Chunks {
		b = c.put(b)
	}
	return b
}

func (m *Free) Decode(b []byte) error {
	r := reader{b: b}
	m.Fence = r.fence()
	n := int(r.u16())
	m.Chunks = m.Chunks[:0]
	if r.err == nil && (n == 0 || n > MaxFrees) {
		r.failf("%d chunks, allowed are 1 to %d", n, MaxFrees)
	}
	for range n {
		c := r.chunk()
		if r.err != nil {
			break
		}
		m.Chunks = append(m.Chunks, c)
	}
	return r.end("FREE")
}
