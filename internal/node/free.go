package node

import "github.com/infinicache/infinicache/internal/wire"

// release forgets chunks. Those that are being sent keep their memory until
// that is over.
func (l *proxyLink) release(stream uint32, chunks []wire.Chunk) {
	st := l.n.store
	for _, c := range chunks {
		var freed int64
		if c.Stripe == wire.WholeVersion {
			freed, _ = st.Free(c.Version)
		} else {
			freed = st.FreeChunk(keyOf(c))
		}
		if freed > 0 {
			l.n.history.freed(c)
		}
	}
	l.done(stream, st.Used(), nil)
}
