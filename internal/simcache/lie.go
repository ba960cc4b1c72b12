package simcache

import (
	"bytes"
	"net"
	"slices"

	"github.com/infinicache/infinicache/internal/wire"
)

// EncryptionKey is that of caches whose Config says Encrypted.
func EncryptionKey() []byte { return bytes.Repeat([]byte{0x5e}, 32) }

// Lie has the functions of a node send wrong bytes: one of every block is another,
// and the checksum fits, as anybody can make it do. Config.Liars makes it possible.
func (p *Platform) Lie(number int) (repent func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lying[number]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lying[number]--
	}
}

// lies tells whether a block that a node sends is to be another, and counts it.
func (p *Platform) lies(number int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lying[number] == 0 {
		return false
	}
	p.happened[Lied]++
	return true
}

// liar is the end of a link that is a node's: it finds the blocks among what is
// written.
type liar struct {
	net.Conn
	p      *Platform
	number int
	greets bool   // the preface was written
	buf    []byte // of a frame that is not whole yet
}

// Write implements net.Conn. What it keeps for later counts as written.
func (l *liar) Write(b []byte) (int, error) {
	l.buf = append(l.buf, b...)
	for {
		n := l.whole()
		if n == 0 {
			return len(b), nil
		}
		if _, err := l.Conn.Write(l.buf[:n]); err != nil {
			return 0, err
		}
		l.buf = slices.Delete(l.buf, 0, n)
	}
}

// whole is how many bytes of what begins the buffer can leave, 0 if more of it is
// to come.
func (l *liar) whole() int {
	if !l.greets {
		l.greets = len(l.buf) >= wire.PrefaceSize
		return len(l.buf) / wire.PrefaceSize * wire.PrefaceSize
	}
	if len(l.buf) < wire.HeaderSize {
		return 0
	}
	h, err := wire.ParseHeader(l.buf)
	if err != nil {
		return len(l.buf)
	}
	n := wire.HeaderSize + int(h.Meta) + int(h.Body)
	if len(l.buf) < n {
		return 0
	}
	if h.Type == wire.TypeBlock && l.p.lies(l.number) {
		twist(l.buf[wire.HeaderSize:][:h.Meta], l.buf[n-int(h.Body):n])
	}
	return n
}

// twist changes a byte of a block's body, and its checksum with it. The version is
// not needed for that: what one byte does to a CRC does not depend on what is
// before it.
func twist(meta, body []byte) {
	b, err := wire.ParseBlock(meta)
	if err != nil {
		return
	}
	was := wire.Checksum(0, b.Stripe, b.Chunk, b.Index, body)
	body[len(body)/2] ^= 0x20
	b.Sum ^= was ^ wire.Checksum(0, b.Stripe, b.Chunk, b.Index, body)
	b.Put(meta)
}
