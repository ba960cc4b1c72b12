package stripe

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// stored is an object cut and coded straight by the erasure package, in memory:
// what the engine's results are compared with.
type stored struct {
	rec     wire.Record
	object  []byte
	stripes [][][]byte // by stripe, by chunk
	sums    [][][]uint32
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	rng.Read(b)
	return b
}

func store(tb testing.TB, object []byte, shape object.Shape, stripe int64) *stored {
	tb.Helper()
	s := &stored{object: object, rec: wire.Record{Key: "k", Version: 7, Size: int64(len(object)),
		Data: uint8(shape.Data), Parity: uint8(shape.Parity), Stripe: stripe}}
	code, err := erasure.New(shape.Data, shape.Parity)
	if err != nil {
		tb.Fatal(err)
	}
	for off := int64(0); off < s.rec.Size; off += stripe {
		part := object[off:min(off+stripe, s.rec.Size)]
		l := erasure.NewLayout(int64(len(part)), shape.Data, shape.Parity)
		chunks := l.Split(part)
		for range shape.Parity {
			chunks = append(chunks, make([]byte, l.ChunkSize()))
		}
		if err := code.Encode(chunks[:shape.Data], chunks[shape.Data:]); err != nil {
			tb.Fatal(err)
		}
		index := uint32(len(s.stripes))
		sums := make([][]uint32, len(chunks))
		for c, body := range chunks {
			for j := range l.Blocks(c, wire.BlockSize) {
				sums[c] = append(sums[c], wire.Checksum(s.rec.Version, index, uint16(c), uint32(j), cutBlock(body, uint32(j))))
			}
		}
		s.stripes = append(s.stripes, chunks)
		s.sums = append(s.sums, sums)
	}
	return s
}

func cutBlock(chunk []byte, j uint32) []byte {
	lo := int(j) * wire.BlockSize
	return chunk[lo:min(lo+wire.BlockSize, len(chunk))]
}

// fault is what goes wrong with one chunk.
type fault struct {
	err     error         // the chunk ends so, before block at
	at      uint32        // the block, counted from the first that is asked for
	delay   time.Duration // before block at
	flip    bool          // a byte of block at
	swap    bool          // block at claims and carries the one of another chunk
	short   bool          // block at lacks a byte
	skip    bool          // block at does not come
	early   bool          // the chunk ends without an error before block at
	abandon time.Duration // block at fills slowly for so long, then ends with an error
}

// fakeSource serves a stored object with faults. With inline it answers before
// Read returns; otherwise from a goroutine per chunk.
type fakeSource struct {
	*stored
	inline bool
	faults map[wire.Place]fault
	every  map[uint16]fault // chunks of any stripe

	mu      sync.Mutex
	asked   []wire.Place
	blocks  int // sent
	cancels int
	wg      sync.WaitGroup
}

func (s *fakeSource) Read(stripe uint32, wants []wire.Want, sink Sink) func() {
	s.mu.Lock()
	for _, w := range wants {
		s.asked = append(s.asked, wire.Place{Stripe: stripe, Chunk: w.Chunk})
	}
	s.mu.Unlock()
	done := make(chan struct{})
	for _, w := range wants {
		f, ok := s.faults[wire.Place{Stripe: stripe, Chunk: w.Chunk}]
		if !ok {
			f = s.every[w.Chunk]
		}
		if s.inline {
			s.serve(stripe, w, f, sink, done)
		} else {
			s.wg.Go(func() { s.serve(stripe, w, f, sink, done) })
		}
	}
	return func() {
		s.mu.Lock()
		s.cancels++
		s.mu.Unlock()
		close(done) // a second cancel panics
	}
}

func (s *fakeSource) serve(stripe uint32, w wire.Want, f fault, sink Sink, done <-chan struct{}) {
	for j := w.From; j < w.To; j++ {
		body := cutBlock(s.stripes[stripe][w.Chunk], j)
		b := wire.Block{Stripe: stripe, Chunk: w.Chunk, Index: j, Sum: s.sums[stripe][w.Chunk][j]}
		if j == w.From+f.at {
			if f.delay > 0 {
				select {
				case <-done:
					return
				case <-time.After(f.delay):
				}
			}
			switch {
			case f.err != nil && f.abandon == 0:
				sink.End(w.Chunk, f.err)
				return
			case f.early:
				sink.End(w.Chunk, nil)
				return
			case f.skip:
				continue
			case f.flip:
				body = append([]byte(nil), body...)
				body[len(body)/2] ^= 0x10
			case f.short:
				body = body[:len(body)-1]
			case f.swap:
				other := (int(w.Chunk) + 1) % len(s.stripes[stripe])
				if int(j) >= len(s.sums[stripe][other]) { // a short or empty one
					other = len(s.stripes[stripe]) - 1
				}
				if other == int(w.Chunk) || int(j) >= len(s.sums[stripe][other]) {
					b.Sum++
					break
				}
				body, b.Sum = cutBlock(s.stripes[stripe][other], j), s.sums[stripe][other][j]
			}
		}
		select {
		case <-done:
			return
		default:
		}
		mem := sink.Buffer(b, len(body))
		s.mu.Lock()
		s.blocks++
		s.mu.Unlock()
		if f.abandon > 0 && j == w.From+f.at {
			// The link holds the memory and dribbles into it, deaf to cancel.
			for i := range 10 {
				time.Sleep(f.abandon / 10)
				if i < len(mem) {
					mem[i] = 0xEE
				}
			}
			sink.Block(b, mem, wire.ErrClosed)
			sink.End(w.Chunk, wire.ErrClosed)
			return
		}
		if mem != nil {
			copy(mem, body)
		}
		sink.Block(b, mem, nil)
	}
	sink.End(w.Chunk, nil)
}

func (s *fakeSource) askedOf(stripe uint32) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var mask uint64
	for _, p := range s.asked {
		if p.Stripe == stripe {
			mask |= 1 << p.Chunk
		}
	}
	return mask
}
