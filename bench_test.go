package infinicache_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/infinicache/infinicache"
)

// BenchmarkBytes moves objects over loopback to and from a proxy that keeps them
// itself.
func BenchmarkBytes(b *testing.B) {
	c, err := infinicache.New(infinicache.Config{Proxies: []string{proxyAddr}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20, 10 << 20} {
		body := content(1, size)
		dst := make([]byte, size)
		b.Run(fmt.Sprintf("put/%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.PutBytes(ctx, "k", body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("get/%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.GetInto(ctx, "k", dst); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("stream/%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				o, err := c.Get(ctx, "k")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := o.WriteTo(discard{}); err != nil {
					b.Fatal(err)
				}
				o.Close()
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
