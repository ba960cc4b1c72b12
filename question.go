package infinicache

import (
	"context"

	"github.com/infinicache/infinicache/internal/wire"
)

// question is an exchange with one answer: OPEN, STAT or DELETE.
type question struct {
	kind   wire.Type
	key    string
	answer chan answer // capacity 1
}

type answer struct {
	opened *wire.Opened // of OPEN and STAT
	value  uint64       // of DELETE
	err    error
}

// ask puts a question and waits for the answer. id is its stream, where an OPEN
// that was answered keeps its version pinned.
func (c *connection) ask(ctx context.Context, kind wire.Type, key string) (a answer, id uint32, err error) {
	q := &question{kind: kind, key: key, answer: make(chan answer, 1)}
	if id, err = c.begin(q, kind, &wire.Open{Key: key}); err != nil {
		return answer{}, 0, err
	}
	select {
	case a = <-q.answer:
		return a, id, a.err
	case <-ctx.Done():
	}
	c.forget(id)
	if kind == wire.TypeOpen { // it may have been answered by now
		c.link.Send(wire.TypeClose, wire.CodeCanceled, id, nil)
	} else {
		c.link.Send(wire.TypeCancel, wire.CodeOK, id, nil)
	}
	return answer{}, 0, context.Cause(ctx)
}

func (q *question) frame(h wire.Header, meta []byte) (bool, error) {
	var a answer
	switch {
	case h.Type == wire.TypeOpened && q.kind != wire.TypeDelete:
		a.opened = new(wire.Opened)
		if err := a.opened.Decode(meta); err != nil {
			return false, err
		}
		if a.opened.Key != q.key {
			return false, wire.Errorf(wire.CodeProtocol, "OPENED on stream %d is about another key", h.Stream)
		}
	case h.Type == wire.TypeDone && (q.kind == wire.TypeDelete || h.Code != wire.CodeOK):
		var d wire.Done
		if err := d.Decode(meta); err != nil {
			return false, err
		}
		a.value, a.err = d.Value, d.Err(h.Code)
	default:
		return false, unexpected(h)
	}
	q.answer <- a
	return true, nil
}

func (q *question) broken(err error) { q.answer <- answer{err: err} }

func (q *question) awaits() bool { return true }
