package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/infinicache/infinicache"
)

// Redis clients need no key, since the proxy has it: what they do works as ever,
// with the sizes that they know, and clients with the key read what they stored.
func TestScenarioEncrypted(t *testing.T) {
	scenario(t)
	file := filepath.Join(t.TempDir(), "objects.key")
	a := startSeparate(t, []string{"--nodes", "6", "--memory", "128MiB"}, nil, []string{"--journal-every", "--encryption-key-file", file})
	ctx := t.Context()
	dial := func() *redis.Client {
		r := redis.NewClient(&redis.Options{Addr: a.proxy.at["redis"]})
		t.Cleanup(func() { r.Close() })
		return r
	}
	r := dial()
	large := make([]byte, 11<<20)
	rand.NewChaCha8([32]byte{1}).Read(large)
	want := string(large)
	expect := func(what string, got any, err error, want any) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s = %.40v, %v, want %.40v", what, fmt.Sprint(got), err, fmt.Sprint(want))
		}
	}
	for key, value := range map[string]string{"large": want, "small": "hello", "empty": ""} {
		if err := r.Set(ctx, key, value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		got, err := r.Get(ctx, key).Result()
		expect("GET "+key, got, err, value)
		n, err := r.StrLen(ctx, key).Result()
		expect("STRLEN "+key, n, err, int64(len(value)))
	}
	got, err := r.GetRange(ctx, "large", 70_000, 140_000).Result()
	expect("GETRANGE", got, err, want[70_000:140_001])
	got, err = r.GetRange(ctx, "large", -3, -1).Result()
	expect("GETRANGE from the end", got, err, want[len(want)-3:])
	stored, err := r.SetNX(ctx, "small", "other", 0).Result()
	expect("SETNX", stored, err, false)
	got, err = r.SetArgs(ctx, "small", "bye", redis.SetArgs{Mode: "XX", Get: true}).Result()
	expect("SET XX GET", got, err, "hello")
	got, err = r.GetDel(ctx, "small").Result()
	expect("GETDEL", got, err, "bye")

	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := infinicache.New(infinicache.Config{Proxies: []string{a.proxy.at["client"]}, EncryptionKey: key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := c.GetBytes(ctx, "large")
	expect("Get", string(b), err, want)
	if _, err := newClient(t, a.proxy).GetBytes(ctx, "large"); !errors.Is(err, infinicache.ErrEncrypted) {
		t.Errorf("a client without the key: %v", err)
	}

	// The next proxy finds its journal; without the key it keeps what it cannot read.
	a.proxy.kill()
	a.flags = a.flags[:len(a.flags)-2]
	a.reign()
	r = dial()
	if got, err := r.Get(ctx, "large").Result(); err == nil || err.Error() != "ERR object is encrypted with a key that the proxy does not have" {
		t.Errorf("GET without the key = %d bytes, %v", len(got), err)
	}
	n, err := r.StrLen(ctx, "large").Result()
	expect("STRLEN without the key", n, err, int64(len(want)))
	b, err = c.GetBytes(ctx, "large")
	expect("Get by way of it", string(b), err, want)
}
