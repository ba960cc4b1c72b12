package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"
)

func TestGoRedis(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			addr, _ := serve(t, newFake(), Config{})
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			c := goredis.NewClient(&goredis.Options{Addr: addr, Protocol: protocol, ClientName: "tester"})
			defer c.Close()

			check := func(what string, got, want any, err error) {
				t.Helper()
				if diff := gocmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%s: error %v, result (-want +got):\n%s", what, err, diff)
				}
			}
			big := []byte(pattern(10 << 20))
			check("Set", c.Set(ctx, "big", big, time.Hour).Val(), "OK", nil)
			got, err := c.Get(ctx, "big").Bytes()
			if err != nil || !bytes.Equal(got, big) {
				t.Errorf("Get big: %d bytes, %v", len(got), err)
			}
			ttl, err := c.TTL(ctx, "big").Result()
			check("TTL", ttl.Round(time.Minute), time.Hour, err)
			part, err := c.GetRange(ctx, "big", 1<<20, 1<<20+9).Result()
			check("GetRange", part, string(big[1<<20:1<<20+10]), err)
			n, err := c.StrLen(ctx, "big").Result()
			check("StrLen", n, int64(len(big)), err)

			if err := c.Get(ctx, "none").Err(); !errors.Is(err, goredis.Nil) {
				t.Errorf("Get none: %v, want Nil", err)
			}
			set, err := c.SetNX(ctx, "big", "x", time.Minute).Result()
			check("SetNX", set, false, err)
			check("MSet", c.MSet(ctx, "a", "1", "b", "2").Val(), "OK", nil)
			values, err := c.MGet(ctx, "a", "none", "b").Result()
			check("MGet", values, []any{"1", nil, "2"}, err)
			old, err := c.SetArgs(ctx, "a", "3", goredis.SetArgs{Get: true, KeepTTL: true}).Result()
			check("SetArgs", old, "1", err)
			gone, err := c.GetDel(ctx, "a").Result()
			check("GetDel", gone, "3", err)

			var keys []string
			for it := c.Scan(ctx, 0, "b*", 1).Iterator(); it.Next(ctx); {
				keys = append(keys, it.Val())
			}
			check("Scan", keys, []string{"b", "big"}, nil)

			name, err := c.ClientGetName(ctx).Result()
			check("ClientGetName", name, "tester", err)
			if info, err := c.ClientInfo(ctx).Result(); err != nil || info.Name != "tester" || info.LibName == "" {
				t.Errorf("ClientInfo: %+v, %v", info, err)
			}
			conf, err := c.ConfigGet(ctx, "save").Result()
			check("ConfigGet", conf, map[string]string{"save": ""}, err)
			if info, err := c.InfoMap(ctx, "stats").Result(); err != nil || info["Stats"]["keyspace_misses"] == "" {
				t.Errorf("InfoMap: %v, %v", info, err)
			}
			cmds, err := c.Command(ctx).Result()
			if err != nil || cmds["set"] == nil || cmds["get"] == nil || !cmds["get"].ReadOnly || cmds["mset"].StepCount != 2 {
				t.Errorf("Command: %v, %v", cmds, err)
			}

			pipe := c.Pipeline()
			var gets []*goredis.StringCmd
			for i := range 1000 {
				pipe.Set(ctx, fmt.Sprint("p", i), i, 0)
				gets = append(gets, pipe.Get(ctx, fmt.Sprint("p", i)))
			}
			if _, err := pipe.Exec(ctx); err != nil {
				t.Errorf("Exec: %v", err)
			}
			for i, g := range gets {
				if g.Val() != fmt.Sprint(i) {
					t.Errorf("p%d = %q", i, g.Val())
				}
			}
			if err := c.Do(ctx, "LPUSH", "l", "x").Err(); err == nil || !strings.HasPrefix(err.Error(), "ERR unknown command 'LPUSH'") {
				t.Errorf("LPUSH: %v", err)
			}
			check("FlushAll", c.FlushAll(ctx).Val(), "OK", nil)
			size, err := c.DBSize(ctx).Result()
			check("DBSize", size, int64(0), err)
		})
	}
}

// Many clients at once, each on keys of its own, always read what they wrote.
func TestManyClients(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := goredis.NewClient(&goredis.Options{Addr: addr})
	defer c.Close()
	source := pattern(3 << 20)
	var wg sync.WaitGroup
	for id := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(id)))
			for i := range 20 {
				off := rnd.IntN(len(source))
				value := source[off : off+rnd.IntN(len(source)-off)]
				key, ttl := fmt.Sprint(id, "-", i%3), time.Duration(rnd.IntN(2))*time.Hour
				if err := c.Set(ctx, key, value, ttl).Err(); err != nil {
					t.Errorf("Set: %v", err)
				}
				if got, err := c.Get(ctx, key).Result(); err != nil || got != value {
					t.Errorf("Get: %d bytes, %v; want %d", len(got), err, len(value))
				}
			}
		})
	}
	wg.Wait()
}

// tool runs one of Redis's own programs against a door.
func tool(t *testing.T, addr, stdin, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	host, port, _ := net.SplitHostPort(addr)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, path, append([]string{"-h", host, "-p", port}, args...)...)
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestRedisCLI(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{})
	value := pattern(5 << 20)
	for _, tt := range []struct {
		stdin, want string
		args        []string
	}{
		{"", "PONG\n", []string{"ping"}},
		{"", "OK\n", []string{"set", "k", "hello", "ex", "100"}},
		{"", "hello\n", []string{"get", "k"}},
		{"", "hello\n", []string{"-3", "get", "k"}},
		{value, "OK\n", []string{"-x", "set", "big"}},
		{"", value + "\n", []string{"get", "big"}},
		{"set a 1\nget a\nincr a\n", "OK\n1\nERR unknown command 'incr', with args beginning with: 'a' \n\n", nil},
		{"", "1\n", []string{"exists", "a"}},
		{"", "a\nbig\nk\n", []string{"--scan"}},
		{cmd("SET", "x", "1") + cmd("SET", "y", "2"), "errors: 0, replies: 2", []string{"--pipe"}},
	} {
		if got := tool(t, addr, tt.stdin, "redis-cli", tt.args...); got != tt.want && !(len(tt.args) == 1 && tt.args[0] == "--pipe" && strings.Contains(got, tt.want)) {
			t.Errorf("redis-cli %v: %s, want %s", tt.args, short(got), short(tt.want))
		}
	}
	for _, args := range [][]string{{"command", "docs"}, {"-3", "command"}, {"info"}, {"client", "help"}} {
		if got := tool(t, addr, "", "redis-cli", args...); len(got) < 100 || strings.Contains(got, "ERR") {
			t.Errorf("redis-cli %v: %s", args, short(got))
		}
	}
}

func TestRedisBenchmark(t *testing.T) {
	for _, args := range [][]string{
		{"-t", "ping,set,get,mset", "-n", "2000", "-c", "20", "-P", "16", "-q"},
		{"-t", "set,get", "-n", "200", "-c", "8", "-d", "200000", "-q", "-3"},
	} {
		addr, _ := serve(t, newFake(), Config{})
		out := tool(t, addr, "", "redis-benchmark", args...)
		if strings.Contains(out, "WARN") || strings.Contains(strings.ToLower(out), "err") || !strings.Contains(out, "GET: ") {
			t.Errorf("redis-benchmark %v:\n%s", args, out)
		}
	}
}
