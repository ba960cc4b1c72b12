package infinicache

import (
	"context"

	"github.com/infinicache/infinicache/internal/wire"
)

// Stat describes the newest version of key without reading it.
func (c *Client) Stat(ctx context.Context, key string) (Info, error) {
	a, err := c.askOwner(ctx, wire.TypeStat, key)
	if err != nil {
		return Info{}, failed("stat", key, err)
	}
	return infoOf(a.opened), nil
}

// Delete makes key a miss and tells whether there was an object. If the link
// breaks it is tried again, so that false may mean that the first try succeeded.
func (c *Client) Delete(ctx context.Context, key string) (bool, error) {
	a, err := c.askOwner(ctx, wire.TypeDelete, key)
	if err != nil {
		return false, failed("delete", key, err)
	}
	return a.value != 0, nil
}

// askOwner puts a question that may be repeated to the proxy that has key.
func (c *Client) askOwner(ctx context.Context, kind wire.Type, key string) (a answer, err error) {
	owner, err := c.owner(key)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := c.scope(ctx)
	defer cancel(nil)
	err = owner.do(ctx, func(conn *connection) error {
		a, _, err = conn.ask(ctx, kind, key)
		return err
	})
	return a, err
}
