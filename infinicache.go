// Package infinicache is the client library of InfiniCache, an object cache whose
// memory is the idle memory of serverless functions.
//
// A [Client] speaks to one proxy or to several, over which it spreads the keys:
//
//	c, err := infinicache.New(infinicache.Config{Proxies: []string{"127.0.0.1:6377"}})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//
//	_, err = c.PutBytes(ctx, "layer/4f2a", layer, infinicache.WithTTL(time.Hour))
//	...
//	layer, err = c.GetBytes(ctx, "layer/4f2a")
//	if errors.Is(err, infinicache.ErrNotFound) {
//		// A miss: take it from where it came from.
//	}
//
// Objects are of any size. Small ones fit [Client.GetBytes] and [Client.PutBytes];
// large ones stream with bounded memory through [Client.Get], [Client.Put] and
// [Client.Writer].
//
// This is a cache. A read gives the bytes of the newest version, each of them
// checked, or a miss, or an error: never other bytes, and never a mixture of two
// versions. A miss is always possible, and [MissCause] says why it is one.
//
// The client codes and decodes objects itself. An object is cut into stripes, a
// stripe into d data chunks and p parity chunks, and the chunks lie in different
// functions; any d of them give the stripe back, so a read does not wait for the
// slowest function, and survives that the platform takes up to p of them. With
// [Config.EncryptionKey] it also encrypts them, so that functions, which run on
// somebody else's machines, can neither read objects nor forge them.
package infinicache

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/infinicache/infinicache/internal/erasure"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/stripe"
	"github.com/infinicache/infinicache/internal/wire"
)

// Client gives access to a cache. It is safe for concurrent use, and meant to be
// shared: all its users together have one link to each proxy. A link is dialled
// when it is first needed and again when it has broken.
//
// A proxy that cannot be reached takes its keys with it: calls for them give
// ErrUnavailable, after a bounded time, and no other proxy steps in.
type Client struct {
	cfg     Config
	ring    *placement.Ring
	proxies map[string]*proxy // by address
	buffers *stripe.Buffers
	codes   erasure.Codes
	key     *seal.Key // nil: puts are not encrypted

	// life ends when the client is closed: everything under way is tied to it
	// as well as to its caller's context.
	life context.Context
	end  context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	tasks  sync.WaitGroup
}

// errClientClosed is what calls return during and after Close.
var errClientClosed = fmt.Errorf("client: %w", ErrClosed)

// New returns a client. It dials nothing and starts nothing, so an error is about
// cfg only, and lists everything that is wrong with it.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg:     cfg,
		ring:    placement.NewRing(cfg.Proxies),
		proxies: make(map[string]*proxy),
		buffers: stripe.NewBuffers(cfg.Memory),
	}
	if cfg.EncryptionKey != nil {
		if c.key, err = seal.NewKey(cfg.EncryptionKey); err != nil {
			return nil, err
		}
	}
	c.life, c.end = context.WithCancelCause(context.Background())
	for _, addr := range c.ring.Addrs() {
		c.proxies[addr] = &proxy{client: c, addr: addr, tail: stripe.NewTail()}
	}
	return c, nil
}

// Close ends all links and waits until nothing of the client runs any more.
// Calls under way, reads of open objects included, end with ErrClosed. Objects
// still need their own Close. It is safe to call twice.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end(errClientClosed)
	c.tasks.Wait()
	return nil
}

// start runs task in a goroutine that Close waits for. It is false, and nothing
// runs, when the client is closed.
func (c *Client) start(task func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.tasks.Go(task)
	return true
}

// scope is ctx, ending also when the client is closed or with the returned
// function, which must be called; nil as its cause will do.
func (c *Client) scope(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(errClientClosed) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}

// owner is the proxy that has key. The error matches ErrKey.
func (c *Client) owner(key string) (*proxy, error) {
	if len(key) == 0 || len(key) > wire.MaxKey {
		return nil, wire.Errorf(wire.CodeKey, "it has %d bytes, allowed are 1 to %d", len(key), wire.MaxKey)
	}
	return c.proxies[c.ring.Owner(key)], nil
}

// failed says which call on which key an error is about.
func failed(call, key string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ErrKey) {
		return fmt.Errorf("%s: %w", call, err)
	}
	return fmt.Errorf("%s %.64q: %w", call, key, err)
}
