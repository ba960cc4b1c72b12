package proxy

import (
	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// fetch asks the nodes for blocks of chunks of a pinned version. credit says how
// many bytes of a chunk may be under way; what comes goes to sink. calls gets one
// element for each want.
func (p *Proxy) fetch(pin *catalog.Pin, number uint32, wants []wire.Want, credit func(bytes int64) uint32, sink stripe.Sink, calls []*pool.Call) []*pool.Call {
	rec := pin.Record()
	var row [wire.MaxChunks]catalog.Place
	places := pin.Places(number, row[:0])
	for _, w := range wants {
		if int(w.Chunk) >= len(places) {
			sink.End(w.Chunk, wire.Errorf(wire.CodeRequest, "chunk %d of stripe %d, which has %d", w.Chunk, number, len(places)))
			calls = append(calls, nil)
			continue
		}
		at := places[w.Chunk]
		chunk := wire.Chunk{Version: rec.Version, Stripe: number, Index: w.Chunk}
		calls = append(calls, p.pool.Fetch(at, chunk, w.From, w.To, credit(int64(w.To-w.From)*wire.BlockSize), sink))
	}
	return calls
}

// chunkFailed hears of a chunk that could not be read where the catalog says it
// is. One that is gone is put back behind the reader's back.
func (p *Proxy) chunkFailed(pin *catalog.Pin, err error) {
	p.metrics.chunkFailed(err)
	if wire.CodeOf(err) == wire.CodeLost {
		rec := pin.Record()
		p.repairs.ask(rec.Key, rec.Version)
	}
}

// source is the engine's Source inside the proxy: no network between it and the
// nodes' links.
type source struct {
	p   *Proxy
	pin *catalog.Pin
}

// Read implements stripe.Source.
func (s *source) Read(number uint32, wants []wire.Want, sink stripe.Sink) (cancel func()) {
	watched := &watchedSink{Sink: sink, s: s}
	all := func(n int64) uint32 { return uint32(n) } // straight into the stripe's memory
	calls := s.p.fetch(s.pin, number, wants, all, watched, make([]*pool.Call, 0, len(wants)))
	return func() {
		for _, c := range calls {
			if c != nil {
				c.Cancel()
			}
		}
	}
}

// watchedSink notes chunks that fail on their way to the engine.
type watchedSink struct {
	stripe.Sink
	s *source
}

// End implements stripe.Sink.
func (w *watchedSink) End(chunk uint16, err error) {
	if err != nil {
		w.s.p.chunkFailed(w.s.pin, err)
	}
	w.Sink.End(chunk, err)
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

// readerFor makes an engine that reads a pinned version inside the proxy.
func (p *Proxy) readerFor(pin *catalog.Pin) *stripe.Reader {
	ready, gone := p.masks(pin)
	return stripe.NewReader(&source{p, pin}, pin.Record(), stripe.ReaderOptions{
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
