package redis

import (
	"context"
	"io"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

// Cache is what the door serves. Its errors match the sentinels of package
// wire. Its methods are safe for concurrent use.
type Cache interface {
	Objects
	Expirer
	Keyspace
}

// Objects reads and writes whole objects.
type Objects interface {
	// Open pins the version that stands; wire.ErrNotFound is a miss. The caller
	// closes the Reader.
	Open(ctx context.Context, key string) (object.Reader, error)
	// Put stores size bytes read from body; it reads no more than size. On an
	// error, and when the condition of opts does not hold, it may leave body
	// unread. An error of body stores nothing. Neither body nor opts.Finish is
	// used after Put returns.
	Put(ctx context.Context, key string, size int64, body io.Reader, opts object.PutOptions) (object.PutResult, error)
	// Delete makes the key a miss; take asks for a pinned Reader on what was
	// deleted, which the caller closes.
	Delete(ctx context.Context, key string, take bool) (existed bool, old object.Reader, err error)
	// MaxObject is the size in bytes of the largest object the pool can hold.
	MaxObject() int64
}

// Expirer asks about and changes an object without reading it.
type Expirer interface {
	// Stat describes the version that stands; wire.ErrNotFound is a miss.
	Stat(ctx context.Context, key string) (object.Info, error)
	// SetExpiry asks decide about the version that stands, and in the same step
	// changes its expiry if decide says so: the zero time means never, one that
	// is over deletes the object. found tells whether a version stands, changed
	// what decide said. decide may run with locks of the cache held: it must not
	// block, and must use neither the cache nor a Reader of it.
	SetExpiry(ctx context.Context, key string, decide func(object.Info) (at time.Time, change bool)) (found, changed bool, err error)
}

// Keyspace speaks of all keys together.
type Keyspace interface {
	// Scan returns some keys, about count, from cursor on; it begins at cursor 0
	// and has seen every lasting key when next is 0.
	Scan(ctx context.Context, cursor uint64, count int) (keys []string, next uint64, err error)
	// Len is the number of keys.
	Len(ctx context.Context) (int64, error)
	// Flush makes every key a miss.
	Flush(ctx context.Context) error
}
