package node

import (
	"errors"

	"github.com/infinicache/infinicache/internal/store"
	"github.com/infinicache/infinicache/internal/wire"
)

func keyOf(c wire.Chunk) store.Key {
	return store.Key{Version: c.Version, Stripe: c.Stripe, Chunk: c.Index}
}

// codes are the store's errors as they cross the wire.
var codes = []struct {
	err  error
	code wire.Code
}{
	{store.ErrFull, wire.CodeFull},
	{store.ErrNotHeld, wire.CodeNotHeld},
	{store.ErrSize, wire.CodeTooLarge},
	{store.ErrFreed, wire.CodeCanceled}, // freed while its blocks came
	{store.ErrClosed, wire.CodeClosed},
}

// codeOf gives an error of the store its code.
func codeOf(err error) error {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return &wire.Error{Code: c.code, Detail: err.Error()}
		}
	}
	return err
}
