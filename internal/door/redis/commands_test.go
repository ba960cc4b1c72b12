package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/object"
)

const (
	ok   = "+OK\r\n"
	null = "$-1\r\n"
	zero = ":0\r\n"
	one  = ":1\r\n"
)

func TestCommands(t *testing.T) {
	never := ":-1\r\n"
	tests := map[string]script{
		"strings": {
			{"GET k", null}, {"SET k hello", ok}, {"GET k", "$5\r\nhello\r\n"}, {"get k", "$5\r\nhello\r\n"},
			{"STRLEN k", ":5\r\n"}, {"STRLEN none", zero}, {"TYPE k", "+string\r\n"}, {"TYPE none", "+none\r\n"},
			{`SET empty ""`, ok}, {"GET empty", "$0\r\n\r\n"}, {"EXISTS k none k", ":2\r\n"}, {"DBSIZE", ":2\r\n"},
			{"GETDEL k", "$5\r\nhello\r\n"}, {"GETDEL k", null}, {"GET k", null},
			{"DEL empty k", one}, {"UNLINK empty", zero}, {"DBSIZE", zero},
		},
		"many keys": {
			{"MSET a 1 b 22", ok}, {"MGET a none b", "*3\r\n$1\r\n1\r\n$-1\r\n$2\r\n22\r\n"},
			{"MSET a", "-ERR wrong number of arguments for 'mset' command\r\n"},
			{"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"},
		},
		"set options": {
			{"SET k 1 XX", null}, {"SET k 1 NX", ok}, {"SET k 2 NX", null}, {"GET k", "$1\r\n1\r\n"},
			{"SET k 2 XX GET", "$1\r\n1\r\n"}, {"SET k 3 NX GET", "$1\r\n2\r\n"}, {"GET k", "$1\r\n2\r\n"},
			{"SET k 4 EX 100", ok}, {"TTL k", ":100\r\n"}, {"SET k 5 KEEPTTL", ok}, {"TTL k", ":100\r\n"},
			{"SET k 6", ok}, {"TTL k", never}, {"SET k 7 px 50000", ok}, {"TTL k", ":50\r\n"},
			{"SET k 8 EXAT 99999999999", ok}, {"EXPIRETIME k", ":9223372037\r\n"},
			{"SET k 8 PXAT 4000000000000", ok}, {"PEXPIRETIME k", ":4000000000000\r\n"},
			{"SET k 9 GET", "$1\r\n8\r\n"}, {"SET new 1 GET", null},
			{"SET k v EX", "-ERR syntax error\r\n"}, {"SET k v NX XX", "-ERR syntax error\r\n"},
			{"SET k v EX 1 PX 1", "-ERR syntax error\r\n"}, {"SET k v EX 1 KEEPTTL", "-ERR syntax error\r\n"},
			{"SET k v PERSIST", "-ERR syntax error\r\n"},
			{"SET k v EX x", "-ERR value is not an integer or out of range\r\n"},
			{"SET k v EX 0", "-ERR invalid expire time in 'set' command\r\n"},
			{"SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
			{"SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"},
			{"GET k", "$1\r\n9\r\n"},
		},
		"older forms": {
			{"SETNX k 1", one}, {"SETNX k 2", zero}, {"GETSET k 3", "$1\r\n1\r\n"}, {"GETSET other 1", null},
			{"SETEX k 100 4", ok}, {"TTL k", ":100\r\n"}, {"PSETEX k 50000 5", ok}, {"TTL k", ":50\r\n"},
			{"SETEX k 0 6", "-ERR invalid expire time in 'setex' command\r\n"},
			{"PSETEX k -1 6", "-ERR invalid expire time in 'psetex' command\r\n"},
			{"PSETEX k x 6", "-ERR value is not an integer or out of range\r\n"},
			{"GET k", "$1\r\n5\r\n"},
		},
		"getrange": {
			{"SET k 0123456789", ok},
			{"GETRANGE k 0 -1", "$10\r\n0123456789\r\n"}, {"GETRANGE k 2 4", "$3\r\n234\r\n"},
			{"GETRANGE k -3 -1", "$3\r\n789\r\n"}, {"GETRANGE k -100 1", "$2\r\n01\r\n"},
			{"GETRANGE k 5 3", "$0\r\n\r\n"}, {"GETRANGE k 8 100", "$2\r\n89\r\n"},
			{"GETRANGE k 10 20", "$0\r\n\r\n"}, {"GETRANGE k -1 -3", "$0\r\n\r\n"},
			{"SUBSTR k 0 0", "$1\r\n0\r\n"}, {"GETRANGE none 0 -1", "$0\r\n\r\n"},
			{"GETRANGE k a 1", "-ERR value is not an integer or out of range\r\n"},
		},
		"expiry": {
			{"EXPIRE k 10", zero}, {"TTL k", ":-2\r\n"}, {"PTTL k", ":-2\r\n"}, {"PERSIST k", zero},
			{"SET k v", ok}, {"TTL k", never}, {"EXPIRE k 100 XX", zero}, {"EXPIRE k 100 GT", zero},
			{"EXPIRE k 100 LT", one}, {"TTL k", ":100\r\n"}, {"EXPIRE k 50 NX", zero}, {"EXPIRE k 50 GT", zero},
			{"EXPIRE k 200 GT", one}, {"PEXPIRE k 70000 LT XX", one}, {"TTL k", ":70\r\n"},
			{"PERSIST k", one}, {"PERSIST k", zero}, {"TTL k", never},
			{"EXPIREAT k 4000000000", one}, {"EXPIRETIME k", ":4000000000\r\n"},
			{"PEXPIREAT k 4000000000500", one}, {"EXPIRETIME k", ":4000000001\r\n"},
			{"EXPIRE k 1 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"},
			{"EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"},
			{"EXPIRE k 1 FOO", "-ERR Unsupported option FOO\r\n"},
			{"EXPIRE k x", "-ERR value is not an integer or out of range\r\n"},
			{"EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"},
			{"EXPIRE k -1", one}, {"GET k", null},
			{"SET k v EX 100", ok}, {"GETEX k", "$1\r\nv\r\n"}, {"TTL k", ":100\r\n"},
			{"GETEX k EX 50", "$1\r\nv\r\n"}, {"TTL k", ":50\r\n"}, {"GETEX k PERSIST", "$1\r\nv\r\n"}, {"TTL k", never},
			{"GETEX k PERSIST EX 1", "-ERR syntax error\r\n"}, {"GETEX none EX 1", null},
			{"GETEX k EXAT 1", "$1\r\nv\r\n"}, {"EXISTS k", zero},
		},
		"scan and flush": {
			{"MSET a 1 b 2 c 3", ok}, {"SCAN 0", "*2\r\n$1\r\n0\r\n*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"},
			{"SCAN 0 COUNT 2", "*2\r\n$1\r\n2\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"}, {"SCAN 2 COUNT 2", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n"},
			{"SCAN 0 MATCH [ab]", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
			{"SCAN 0 TYPE hash", "*2\r\n$1\r\n0\r\n*0\r\n"}, {"SCAN 0 TYPE string MATCH c", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n"},
			{"SCAN x", "-ERR invalid cursor\r\n"}, {"SCAN -1", "-ERR invalid cursor\r\n"}, {"SCAN 0 COUNT 0", "-ERR syntax error\r\n"},
			{"SCAN 0 COUNT", "-ERR syntax error\r\n"}, {"SCAN 0 FOO 1", "-ERR syntax error\r\n"},
			{"FLUSHDB FOO", "-ERR syntax error\r\n"}, {"FLUSHDB ASYNC", ok}, {"DBSIZE", zero}, {"FLUSHALL", ok},
		},
		"connection": {
			{"PING", "+PONG\r\n"}, {"PING hi", "$2\r\nhi\r\n"}, {"PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"},
			{"ECHO hi", "$2\r\nhi\r\n"}, {"SELECT 0", ok}, {"SELECT 1", "-ERR DB index is out of range\r\n"},
			{"SELECT x", "-ERR value is not an integer or out of range\r\n"},
			{"HELLO 4", "-NOPROTO unsupported protocol version\r\n"}, {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"},
			{"HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"},
			{"HELLO 3 AUTH bob pw", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
			{"AUTH pw", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n"},
			{"HELLO 2 AUTH default pw", "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"},
			{"HELLO 3", "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"},
			{"GET none", "_\r\n"}, {"RESET", "+RESET\r\n"}, {"GET none", null},
		},
		"client": {
			{"CLIENT ID", one}, {"CLIENT GETNAME", null}, {"CLIENT SETNAME me", ok}, {"CLIENT GETNAME", "$2\r\nme\r\n"},
			{"CLIENT SETNAME é", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"},
			{"CLIENT SETINFO LIB-NAME lib", ok}, {"CLIENT SETINFO FOO lib", "-ERR Unrecognized option 'FOO'\r\n"},
			{"CLIENT NO-EVICT ON", ok}, {"CLIENT NO-TOUCH OFF", ok}, {"CLIENT NO-EVICT x", "-ERR syntax error\r\n"},
			{"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"},
			{"CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command\r\n"},
			{"CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"},
			{"CLIENT LIST ID x", "-ERR Invalid client ID\r\n"}, {"CLIENT LIST TYPE x", "-ERR Unknown client type 'x'\r\n"},
			{"CLIENT LIST TYPE pubsub", "$0\r\n\r\n"}, {"CLIENT LIST ID 99", "$0\r\n\r\n"},
			{"CLIENT REPLY SKIP", ""}, {"PING", ""}, {"PING", "+PONG\r\n"},
			{"CLIENT REPLY OFF", ""}, {"PING", ""}, {"GET none", ""}, {"CLIENT REPLY ON", ok}, {"PING", "+PONG\r\n"},
		},
		"config": {
			{"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"}, {"CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"},
			{"CONFIG GET maxmemory SAVE", "*4\r\n$9\r\nmaxmemory\r\n$3\r\n100\r\n$4\r\nsave\r\n$0\r\n\r\n"}, {"CONFIG GET none", "*0\r\n"},
			{"CONFIG SET a b", "-ERR unknown subcommand 'SET'. Try CONFIG HELP.\r\n"}, {"CONFIG RESETSTAT", ok},
		},
		"command": {
			{"COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"}, {"COMMAND GETKEYS GET", "-ERR wrong number of arguments for 'command|getkeys' command\r\n"},
			{"COMMAND GETKEYS GET a", "*1\r\n$1\r\na\r\n"}, {"COMMAND GETKEYS PING x", "-ERR The command has no key arguments\r\n"},
			{"COMMAND GETKEYS FOO x", "-ERR Invalid command specified\r\n"}, {"COMMAND GETKEYS GET a b", "-ERR Invalid number of arguments specified for command\r\n"},
			{"COMMAND INFO nosuch", "*1\r\n*-1\r\n"}, {"COMMAND DOCS nosuch", "*0\r\n"},
			{"COMMAND INFO ping", "*1\r\n*10\r\n$4\r\nping\r\n:-1\r\n*1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*2\r\n+@connection\r\n+@fast\r\n*0\r\n*0\r\n*0\r\n"},
		},
		"errors": {
			{"FOO bar baz", "-ERR unknown command 'FOO', with args beginning with: 'bar' 'baz' \r\n"},
			{"FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"},
			{"GET", "-ERR wrong number of arguments for 'get' command\r\n"}, {"GET a b", "-ERR wrong number of arguments for 'get' command\r\n"},
			{"SET k", "-ERR wrong number of arguments for 'set' command\r\n"}, {"PING", "+PONG\r\n"},
		},
	}
	for name, s := range tests {
		t.Run(name, func(t *testing.T) {
			addr, _ := serve(t, newFake(), Config{Stats: func() Stats { return Stats{Capacity: 100} }})
			s.run(t, dial(t, addr))
		})
	}
}

func TestUnknownCommandIsQuotedShort(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{})
	c := dial(t, addr)
	long := strings.Repeat("x", 5000)
	c.send(cmd(long, long, long))
	c.expect("-ERR unknown command '" + long[:128] + "', with args beginning with: '" + long[:128] + "' \r\n")
	c.send(cmd("a\r\n+OK"))
	c.expect("-ERR unknown command 'a  +OK', with args beginning with: \r\n")
}

func TestPassword(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{Password: "open sesame"})
	c := dial(t, addr)
	noAuth := "-NOAUTH Authentication required.\r\n"
	wrong := "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	for _, step := range []struct{ send, want string }{
		{cmd("GET", "k"), noAuth},
		{cmd("SET", "k", strings.Repeat("v", 100000)), noAuth},
		{cmd("AUTH", "open"), wrong},
		{cmd("AUTH", "bob", "open sesame"), wrong},
		{cmd("PING"), noAuth},
		{cmd("AUTH", "open sesame"), ok},
		{cmd("GET", "k"), null},
		{cmd("RESET"), "+RESET\r\n"},
		{cmd("GET", "k"), noAuth},
		{cmd("AUTH", "default", "open sesame"), ok},
		{cmd("PING"), "+PONG\r\n"},
	} {
		c.send(step.send)
		c.expect(step.want)
	}
	c = dial(t, addr)
	c.send(cmd("HELLO", "3"))
	c.expect("-NOAUTH HELLO must be called")
}

func TestInfo(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{Stats: func() Stats {
		return Stats{Version: "1.2.3", Used: 3 << 20, Capacity: 1 << 30, Expiring: 1, Expired: 5, Evicted: 7}
	}})
	c := dial(t, addr)
	c.send(cmd("SET", "k", "v") + cmd("GET", "k") + cmd("GET", "none") + cmd("INFO"))
	c.expect(ok + "$1\r\nv\r\n" + null)
	got := c.bulk()
	for _, want := range []string{
		"# Server\r\n", "redis_version:7.0.0\r\n", "infinicache_version:1.2.3\r\n",
		"connected_clients:1\r\n", "used_memory:3145728\r\n", "used_memory_human:3.00M\r\n",
		"maxmemory:1073741824\r\n", "total_commands_processed:4\r\n", "keyspace_hits:1\r\n", "keyspace_misses:1\r\n",
		"expired_keys:5\r\n", "evicted_keys:7\r\n", "# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=0\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("INFO lacks %q:\n%s", want, got)
		}
	}
	c.send(cmd("INFO", "memory", "nosuch"))
	if got := c.bulk(); !strings.HasPrefix(got, "# Memory\r\n") || strings.Count(got, "# ") != 1 {
		t.Errorf("INFO memory nosuch:\n%s", got)
	}
}

func TestClientList(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{})
	a, b := dial(t, addr), dial(t, addr)
	a.send(cmd("CLIENT", "SETNAME", "first") + cmd("CLIENT", "SETINFO", "LIB-VER", "9"))
	a.expect(ok + ok)
	b.send(cmd("CLIENT", "LIST"))
	lines := strings.Split(strings.TrimSpace(b.bulk()), "\n")
	if len(lines) != 2 {
		t.Fatalf("CLIENT LIST has %d lines, want 2: %q", len(lines), lines)
	}
	for _, want := range []string{" addr=" + a.LocalAddr().String() + " ", " name=first ", " cmd=client|setinfo ", " lib-ver=9 ", " resp=2"} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("first line lacks %q: %s", want, lines[0])
		}
	}
}

func TestInlineCommands(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{})
	c := dial(t, addr)
	c.send("\r\nSET k \"a b\\x41\" EX 100\r\nGET k\r\nMSET a 1 b 2\nSTRLEN a\nSET \"k\r\n")
	c.expect(ok + "$4\r\na bA\r\n" + ok + one + "-ERR Protocol error: unbalanced quotes in request\r\n")
	c.expectEnd()
}

func TestQuit(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{})
	c := dial(t, addr)
	c.send(cmd("QUIT") + cmd("PING"))
	c.expect(ok)
	c.expectEnd()
}

// GETEX changes the expiry of the value that it returns, whatever comes between.
func TestGetExIsAtomic(t *testing.T) {
	for _, tt := range []struct {
		name    string
		between func(f *fakeCache)
		send    string
		want    string
	}{
		{"overwritten", func(f *fakeCache) {
			f.Put(t.Context(), "k", 3, strings.NewReader("new"), object.PutOptions{})
		}, cmd("GETEX", "k", "EXAT", "5000000000"), bulkOf("new") + ":5000000000\r\n"},
		{"overwritten, persisted", func(f *fakeCache) {
			f.Put(t.Context(), "k", 3, strings.NewReader("new"), object.PutOptions{Expires: time.Unix(6e9, 0)})
		}, cmd("GETEX", "k", "PERSIST"), bulkOf("new") + ":-1\r\n"},
		{"overwritten, only read", func(f *fakeCache) {
			f.Put(t.Context(), "k", 3, strings.NewReader("new"), object.PutOptions{})
		}, cmd("GETEX", "k"), bulkOf("old") + ":-1\r\n"},
		{"deleted", func(f *fakeCache) {
			f.Delete(t.Context(), "k", false)
		}, cmd("GETEX", "k", "EXAT", "5000000000"), null + ":-2\r\n"},
		{"another expiry", func(f *fakeCache) {
			f.SetExpiry(t.Context(), "k", func(object.Info) (time.Time, bool) { return time.Unix(6e9, 0), true })
		}, cmd("GETEX", "k", "EXAT", "5000000000"), bulkOf("old") + ":5000000000\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.gaps = map[string]func(){"Open": func() { tt.between(f) }}
			addr, _ := serve(t, f, Config{})
			c := dial(t, addr)
			c.send(cmd("SET", "k", "old", "EXAT", "4000000000") + tt.send + cmd("EXPIRETIME", "k"))
			c.expect(ok + tt.want)
		})
	}
}

// Conditions on an expiry are judged by what stands when it is changed.
func TestExpiryConditionsAreAtomic(t *testing.T) {
	const never = 0
	for _, tt := range []struct {
		before, between int64 // expiry when the command comes, and just before it takes effect
		send            string
		want            string
		after           string
	}{
		{never, 5e9, "EXPIREAT k 7000000000 NX", zero, ":5000000000\r\n"},
		{5e9, never, "EXPIREAT k 7000000000 NX", one, ":7000000000\r\n"},
		{5e9, never, "EXPIREAT k 7000000000 XX", zero, ":-1\r\n"},
		{5e9, 8e9, "EXPIREAT k 7000000000 GT", zero, ":8000000000\r\n"},
		{8e9, 5e9, "EXPIREAT k 7000000000 GT", one, ":7000000000\r\n"},
		{8e9, 5e9, "EXPIREAT k 7000000000 LT", zero, ":5000000000\r\n"},
		{5e9, 8e9, "EXPIREAT k 1 GT", zero, ":8000000000\r\n"},
		{never, 5e9, "PERSIST k", one, ":-1\r\n"},
		{5e9, never, "PERSIST k", zero, ":-1\r\n"},
	} {
		t.Run(fmt.Sprint(tt.send, tt.before, tt.between), func(t *testing.T) {
			f := newFake()
			expire := func(at int64) {
				var opts object.PutOptions
				if at != never {
					opts.Expires = time.Unix(at, 0)
				}
				f.Put(t.Context(), "k", 1, strings.NewReader("v"), opts)
			}
			expire(tt.before)
			f.gaps = map[string]func(){"SetExpiry": func() { expire(tt.between) }}
			addr, _ := serve(t, f, Config{})
			script{{tt.send, tt.want}, {"EXPIRETIME k", tt.after}}.run(t, dial(t, addr))
		})
	}
}

func TestExpiredIsGone(t *testing.T) {
	f := newFake()
	addr, _ := serve(t, f, Config{})
	c := dial(t, addr)
	c.send(cmd("SET", "k", "v") + cmd("PEXPIREAT", "k", "1000") + cmd("GET", "k"))
	c.expect(ok + one + null)
	if at, okay := instant(-5, true, true, time.UnixMilli(1000)); !okay || at.IsZero() || at.After(time.UnixMilli(1000)) {
		t.Errorf("instant(-5 s) = %v, %v", at, okay)
	}
}
