package link

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/infinicache/infinicache/internal/wire"
)

// readBuffer is small on purpose: it gathers headers and metadata, while bodies
// are read past it, straight to where they belong.
const readBuffer = 4 << 10

func readFull(r io.Reader, b []byte) (int, error) { return io.ReadFull(r, b) }

// read reads until the link ends. said tells that the end is the handler's wish.
func (c *Conn) read(h Handler) (said bool, err error) {
	br := bufio.NewReaderSize(c.nc, readBuffer)
	if c.cfg.Greeting != nil {
		if err := c.expectPreface(br); err != nil {
			return false, err
		}
	}
	var (
		fixed [wire.HeaderSize + wire.BlockMetaSize]byte
		meta  []byte
		vec   [][]byte
	)
	for {
		if _, err := io.ReadFull(br, fixed[:wire.HeaderSize]); err != nil {
			return false, endOf(err)
		}
		c.heard.Store(int64(time.Since(c.start)))
		head, err := wire.ParseHeader(fixed[:])
		if err != nil {
			return false, err
		}
		if head.Type == wire.TypeBlock {
			if vec, err = c.readBlock(h, br, head, fixed[wire.HeaderSize:], vec[:0]); err != nil {
				return false, err
			}
			continue
		}
		if cap(meta) < int(head.Meta) {
			meta = make([]byte, head.Meta)
		}
		meta = meta[:head.Meta]
		if err := c.readBody(br, meta); err != nil {
			return false, err
		}
		if err := h.Frame(head, meta); err != nil {
			return true, err
		}
		if cap(meta) > readBuffer {
			meta = nil // a long key is rare; do not keep its memory
		}
	}
}

// readBlock reads a block into the memory the handler names. It returns vec for
// reuse.
func (c *Conn) readBlock(h Handler, br *bufio.Reader, head wire.Header, fixed []byte, vec [][]byte) ([][]byte, error) {
	if _, err := io.ReadFull(br, fixed[:wire.BlockMetaSize]); err != nil {
		return vec, cut(err)
	}
	b, err := wire.ParseBlock(fixed)
	if err != nil {
		return vec, err
	}
	n := int(head.Body)
	vec = h.Buffer(head.Stream, b, n, vec)
	if len(vec) == 0 {
		return vec, c.discard(br, n)
	}
	total := 0
	for _, v := range vec {
		total += len(v)
	}
	if total != n {
		err = wire.Errorf(wire.CodeInternal, "a block of %d bytes was given %d bytes of memory", n, total)
	}
	for _, v := range vec {
		if err == nil {
			err = c.readBody(br, v)
		}
	}
	h.Block(head.Stream, b, n, err)
	clear(vec)
	return vec, err
}

// readBody fills b, part of a frame, and does not wait for ever.
func (c *Conn) readBody(br *bufio.Reader, b []byte) error {
	if len(b) <= br.Buffered() {
		_, err := io.ReadFull(br, b)
		return err
	}
	if err := c.nc.SetReadDeadline(time.Now().Add(c.cfg.Stall)); err != nil {
		return cut(err)
	}
	if _, err := io.ReadFull(br, b); err != nil {
		return cut(err)
	}
	if err := c.nc.SetReadDeadline(time.Time{}); err != nil {
		return cut(err)
	}
	return nil
}

func (c *Conn) discard(br *bufio.Reader, n int) error {
	if err := c.nc.SetReadDeadline(time.Now().Add(c.cfg.Stall)); err != nil {
		return cut(err)
	}
	if _, err := br.Discard(n); err != nil {
		return cut(err)
	}
	return c.nc.SetReadDeadline(time.Time{})
}

func (c *Conn) expectPreface(br *bufio.Reader) error {
	var b [wire.PrefaceSize]byte
	if err := c.readBody(br, b[:]); err != nil {
		return err
	}
	return checkPeer(b, c.cfg.Peer)
}

func checkPeer(b [wire.PrefaceSize]byte, want wire.Role) error {
	role, err := wire.ParsePreface(b)
	if err == nil && role != want {
		err = wire.Errorf(wire.CodeProtocol, "the other side is a %v, not a %v", role, want)
	}
	return err
}

// endOf names the end of a connection between two frames.
func endOf(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return wire.ErrClosed
	default:
		return cut(err)
	}
}

// cut names the end of a connection inside a frame.
func cut(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return wire.Errorf(wire.CodeTimeout, "the other side stopped in mid-frame")
	}
	return wire.Errorf(wire.CodeClosed, "link cut: %v", err)
}
