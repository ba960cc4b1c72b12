package proxy

import (
	"github.com/infinicache/infinicache/internal/catalog"
	"github.com/infinicache/infinicache/internal/pool"
	"github.com/infinicache/infinicache/internal/wire"
)

// RelayIdle tells whether the whole relay budget is free.
func (p *Proxy) RelayIdle() bool {
	if !p.relay.all.TryAcquire(p.relay.limit) {
		return false
	}
	p.relay.all.Release(p.relay.limit)
	return true
}

// ForgetChunk has the holder of a chunk of a key's first stripe let it go behind
// the catalog's back.
func (p *Proxy) ForgetChunk(key string, chunk int) {
	pin, err := p.catalog.Open(key)
	if err != nil {
		panic(err)
	}
	defer pin.Release()
	at := pin.Places(0, nil)[chunk]
	p.pool.Free(at, wire.Chunk{Version: pin.Record().Version, Index: uint16(chunk)}, pool.Cost(1, 1))
}

// Vacant is how many chunks of a key's first stripe nobody holds.
func (p *Proxy) Vacant(key string) (n int) {
	pin, err := p.catalog.Open(key)
	if err != nil {
		panic(err)
	}
	defer pin.Release()
	for _, at := range pin.Places(0, make([]catalog.Place, 0, wire.MaxChunks)) {
		if at.Instance == 0 {
			n++
		}
	}
	return n
}
