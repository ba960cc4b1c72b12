package infinicache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache"
)

// proxyAddr is where the examples find a proxy.
var proxyAddr string

func TestMain(m *testing.M) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	proxyAddr = l.Addr().String()
	go newFakeProxy().serve(l)
	code := m.Run()
	l.Close()
	os.Exit(code)
}

// A cache before something slower: on a miss, take the object from where it came
// from and store it.
func Example() {
	c, err := infinicache.New(infinicache.Config{Proxies: []string{proxyAddr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()

	thumbnail := func(name string) ([]byte, error) {
		b, err := c.GetBytes(ctx, name)
		if err == nil {
			fmt.Println("hit")
			return b, nil
		}
		if errors.Is(err, infinicache.ErrNotFound) {
			fmt.Println("miss:", infinicache.MissCause(err))
		}
		b = []byte("pixels of " + name) // render it
		if _, err := c.PutBytes(ctx, name, b, infinicache.WithTTL(time.Hour)); err != nil {
			log.Print(err) // the cache is of no help now, and of no harm
		}
		return b, nil
	}
	for range 2 {
		b, _ := thumbnail("cat.png")
		fmt.Printf("%s\n", b)
	}
	// Output:
	// miss: never-stored
	// pixels of cat.png
	// hit
	// pixels of cat.png
}

// Large objects are streamed: neither side holds more than a few stripes.
func ExampleClient_Get() {
	c, err := infinicache.New(infinicache.Config{Proxies: []string{proxyAddr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.Put(ctx, "model", strings.NewReader("weights"), -1); err != nil {
		log.Fatal(err)
	}

	o, err := c.Get(ctx, "model")
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	fmt.Println(o.Info().Size, "bytes")
	if _, err := io.Copy(os.Stdout, o); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 7 bytes
	// weights
}

// A Range fetches only the blocks that it touches.
func ExampleRange() {
	c, err := infinicache.New(infinicache.Config{Proxies: []string{proxyAddr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.PutBytes(ctx, "array", []byte("0123456789")); err != nil {
		log.Fatal(err)
	}

	part := make([]byte, 4)
	n, err := c.GetInto(ctx, "array", part, infinicache.Range(3, 4))
	fmt.Println(string(part[:n]), err)
	// Output:
	// 3456 <nil>
}

// What is written to a Writer appears as one object, when it is closed.
func ExampleClient_Writer() {
	c, err := infinicache.New(infinicache.Config{Proxies: []string{proxyAddr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()

	w := c.Writer(ctx, "report", infinicache.IfAbsent())
	for i := range 3 {
		fmt.Fprintf(w, "line %d\n", i)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	b, _ := c.GetBytes(ctx, "report")
	fmt.Printf("%s", b)

	_, err = c.PutBytes(ctx, "report", []byte("another"), infinicache.IfAbsent())
	fmt.Println(errors.Is(err, infinicache.ErrCondition))
	// Output:
	// line 0
	// line 1
	// line 2
	// true
}
