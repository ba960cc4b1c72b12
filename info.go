package infinicache

import (
	"fmt"
	"time"

	"github.com/infinicache/infinicache/internal/seal"
	"github.com/infinicache/infinicache/internal/wire"
)

// Info describes one version of an object.
type Info struct {
	Key     string
	Version uint64 // rises with each Put of the key; never 0
	Size    int64  // bytes
	Shape   Shape
	// Encrypted tells whether reading it takes an EncryptionKey. Describing it does
	// not.
	Encrypted bool
	// Expires is when the object becomes a miss, by this machine's clock; zero:
	// never. The Info that a Put with KeepTTL returns does not know it.
	Expires time.Time
	// Stored is when the version was committed, by the proxy's clock. The Info
	// that a Put returns has none.
	Stored time.Time
}

// TTL is the time left until Expires: at least 1 ns while the object lives, 0 if
// it never expires, negative if it has.
func (i Info) TTL() time.Duration {
	if i.Expires.IsZero() {
		return 0
	}
	if left := time.Until(i.Expires); left != 0 {
		return left
	}
	return -1
}

// Shape is how a stripe is coded: any Data of its Data+Parity chunks give it back.
// The zero Shape leaves the choice to the proxy.
type Shape struct {
	Data   int
	Parity int
}

// String writes the shape as in "10+2".
func (s Shape) String() string { return fmt.Sprintf("%d+%d", s.Data, s.Parity) }

// infoOf is what an OPENED that has just arrived says.
func infoOf(o *wire.Opened) Info {
	i := Info{
		Key: o.Key, Version: o.Version, Size: seal.Size(&o.Record),
		Shape: Shape{Data: int(o.Data), Parity: int(o.Parity)}, Encrypted: o.Seal != (wire.Seal{}),
	}
	if o.ExpiresIn > 0 {
		i.Expires = time.Now().Add(milliseconds(o.ExpiresIn))
	}
	if o.Stored > 0 {
		i.Stored = time.UnixMilli(o.Stored)
	}
	return i
}

// milliseconds is n of them, or as many as a Duration can say.
func milliseconds(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(n, most)) * time.Millisecond
}
