package proxy

import (
	"sync/atomic"

	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/lifecycle"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// fetch asks the nodes for blocks of chunks of a pinned version. credits says for
// each want how many bytes may be under way; what comes goes to sink. calls gets
// one element for each want, nil where there is no such chunk.
func (p *Proxy) fetch(rec wire.Record, places []catalog.Place, number uint32, wants []wire.Want, credits []uint32, cause lifecycle.Cause, sink stripe.Sink, calls []*pool.Call) []*pool.Call {
	for i, w := range wants {
		if int(w.Chunk) >= len(places) {
			sink.End(w.Chunk, wire.Errorf(wire.CodeRequest, "chunk %d of stripe %d, which has %d", w.Chunk, number, len(places)))
			calls = append(calls, nil)
			continue
		}
		chunk := wire.Chunk{Version: rec.Version, Stripe: number, Index: w.Chunk}
		calls = append(calls, p.pool.Fetch(places[w.Chunk], chunk, w.From, w.To, credits[i], cause, sink))
	}
	return calls
}

// chunkFailed hears of a chunk that could not be read from the place where the
// catalog says it is. One that is gone is put back behind the reader's back.
func (p *Proxy) chunkFailed(pin *catalog.Pin, number uint32, chunk uint16, at catalog.Place, err error) {
	p.metrics.chunkFailed(err)
	switch wire.CodeOf(err) {
	case wire.CodeNotHeld:
		// The instance itself denies it: nobody holds that chunk.
		if pin.SetPlace(number, int(chunk), at, catalog.Place{Node: at.Node}) {
			p.pool.Free(at, wire.Chunk{Version: pin.Info().Version, Stripe: number, Index: chunk}, 0)
		}
	case wire.CodeLost:
	default:
		return
	}
	rec := pin.Record()
	p.repairs.ask(rec.Key, rec.Version)
}

// source is the engine's Source inside the proxy: no network between it and the
// nodes' links.
type source struct {
	p     *Proxy
	pin   *catalog.Pin
	cause lifecycle.Cause
}

// Read implements stripe.Source.
func (s *source) Read(number uint32, wants []wire.Want, sink stripe.Sink) (cancel func()) {
	watched := &watchedSink{Sink: sink, s: s, stripe: number, places: s.pin.Places(number, nil)}
	credits := make([]uint32, len(wants))
	for i, w := range wants { // straight into the stripe's memory
		credits[i] = (w.To - w.From) * wire.BlockSize
	}
	watched.open.Store(int32(len(wants)) + 1)
	watched.calls = s.p.fetch(s.pin.Record(), watched.places, number, wants, credits, s.cause, watched, make([]*pool.Call, 0, len(wants)))
	watched.ended()
	return func() { pool.EndRead(watched.calls) }
}

// watchedSink notes chunks that fail on their way to the engine, and when all ended.
type watchedSink struct {
	stripe.Sink
	s      *source
	stripe uint32
	places []catalog.Place
	open   atomic.Int32 // chunks that have not ended, and 1 until calls are known
	calls  []*pool.Call
}

func (w *watchedSink) ended() {
	if w.open.Add(-1) == 0 {
		pool.EndRead(w.calls)
	}
}

// End implements stripe.Sink.
func (w *watchedSink) End(chunk uint16, err error) {
	if err != nil && int(chunk) < len(w.places) {
		w.s.p.chunkFailed(w.s.pin, w.stripe, chunk, w.places[chunk], err)
	}
	w.Sink.End(chunk, err)
	w.ended()
}

// masks tells of a version's first stripe which chunks can be read at once, and
// which cannot be read. Readers avoid the latter, so that a chunk that is known
// gone would never fail: its repair is asked for here.
func (p *Proxy) masks(pin *catalog.Pin) (ready, gone uint64) {
	var row [wire.MaxChunks]catalog.Place
	lost := false
	rec := pin.Record()
	first := erasure.NewLayout(min(rec.Size, rec.Stripe), int(rec.Data), int(rec.Parity))
	for i, at := range pin.Places(0, row[:0]) {
		switch p.pool.State(at) {
		case pool.Ready:
			ready |= 1 << i
		case pool.Lost:
			gone |= 1 << i
			lost = lost || first.Len(i) > 0
		case pool.Unheard:
			gone |= 1 << i
			p.pool.Seek(at.Node)
		}
	}
	if lost {
		p.repairs.ask(rec.Key, rec.Version)
	}
	return ready, gone
}

// readerFor makes an engine that reads a pinned version inside the proxy. The
// sessions that it takes are booked to cause. Repair reads what is stored, sealed
// or not; others what was sealed.
func (p *Proxy) readerFor(pin *catalog.Pin, cause lifecycle.Cause) *stripe.Reader {
	ready, gone := p.masks(pin)
	return stripe.NewReader(&source{p, pin, cause}, pin.Record(), stripe.ReaderOptions{
		Key: p.key, Stored: cause == lifecycle.Repair,
		Ready: ready, Gone: gone, Buffers: p.buffers, Tail: p.tail, Codes: &p.codes,
	})
}

// readFailed settles what a read that ended with err means: the cause of the
// miss, counted, and an object beyond repair leaves the catalog. Bytes that were
// delivered before do not change that. It returns the error to show.
func (p *Proxy) readFailed(key string, version uint64, err error) error {
	cause := missCause(err)
	if cause == wire.CauseUnexplained {
		return err
	}
	if cause == wire.CauseLost {
		p.lose(key, version, cause)
	}
	p.metrics.miss(cause)
	return err
}

// missCause is the cause of the miss that a failed read is, CauseUnexplained if
// it is none: given up by the reader, say.
func missCause(err error) wire.Cause {
	switch wire.CodeOf(err) {
	case wire.CodeLost, wire.CodeNotHeld, wire.CodeCorrupt:
		return wire.CauseLost
	case wire.CodeUnheard:
		return wire.CauseUnheard
	case wire.CodeBreaker:
		return wire.CauseBreaker
	case wire.CodeTimeout, wire.CodeUnavailable, wire.CodeBusy:
		return wire.CauseSlow
	default:
		return wire.CauseUnexplained
	}
}
