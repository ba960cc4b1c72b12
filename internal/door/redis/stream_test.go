package redis

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/wire"
)

// pattern is n bytes in which no block equals another.
func pattern(n int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return string(b.Bytes()[:n])
}

func TestLargeValues(t *testing.T) {
	for _, size := range []int{readBuffer - 1, readBuffer, readBuffer + 1, heldValue, heldValue + 1, 5 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			addr, _ := serve(t, newFake(), Config{})
			c := dial(t, addr)
			value := pattern(size)
			go io.WriteString(c.Conn, cmd("SET", "k", value)+cmd("GETRANGE", "k", "7", "-3")+cmd("GET", "k")+cmd("PING"))
			c.expect(ok + bulkOf(value[7:size-2]) + bulkOf(value) + "+PONG\r\n")
		})
	}
}

// Options behind a value do the same whether the value could be held or not.
func TestOptionsBehindLargeValues(t *testing.T) {
	for _, size := range []int{100, heldValue, heldValue + 1, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f := newFake()
			addr, _ := serve(t, f, Config{})
			c := dial(t, addr)
			a, b := pattern(size), strings.Repeat("b", size)
			for _, step := range []struct{ send, want string }{
				{cmd("SET", "k", a, "XX"), null},
				{cmd("SET", "k", a, "XX", "GET"), null},
				{cmd("EXISTS", "k"), zero},
				{cmd("SET", "k", a, "NX", "EXAT", "4000000000"), ok},
				{cmd("EXPIRETIME", "k"), ":4000000000\r\n"},
				{cmd("SET", "k", b, "NX"), null},
				{cmd("SET", "k", b, "NX", "GET"), bulkOf(a)},
				{cmd("SET", "k", b, "EX"), "-ERR syntax error\r\n"},
				{cmd("SET", "k", b, "PX", "-1"), "-ERR invalid expire time in 'set' command\r\n"},
				{cmd("SET", "k", b, "EX", strings.Repeat("9", 2<<20)), "-ERR arguments of one command are longer than 1 MiB together\r\n"},
				{cmd("GET", "k"), bulkOf(a)},
				{cmd("SET", "k", b, "KEEPTTL", "XX", "GET"), bulkOf(a)},
				{cmd("EXPIRETIME", "k"), ":4000000000\r\n"},
				{cmd("SET", "k", a, "GET"), bulkOf(b)},
				{cmd("TTL", "k"), ":-1\r\n"},
				{cmd("SET", "k", a, "PXAT", "5000000000000"), ok},
				{cmd("PEXPIRETIME", "k"), ":5000000000000\r\n"},
				{cmd("SET", "k", a, "EXAT", "1"), ok},
				{cmd("PING"), "+PONG\r\n"},
				{cmd("EXISTS", "k"), zero},
			} {
				go io.WriteString(c.Conn, step.send)
				c.expect(step.want)
			}
		})
	}
}

// Whoever overwrites a value between its commit and its reply does not inherit
// the expiry of its SET, and what KEEPTTL keeps is of the version it replaced.
func TestOptionsBehindLargeValuesAreOfTheirValue(t *testing.T) {
	for _, size := range []int{heldValue, heldValue + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f := newFake()
			other := func(opts object.PutOptions) func() {
				return func() { f.Put(t.Context(), "k", 5, strings.NewReader("other"), opts) }
			}
			addr, _ := serve(t, f, Config{})
			c := dial(t, addr)
			value := pattern(size)
			for _, step := range []struct {
				options []string
				between object.PutOptions // of the Put that comes then
				want    string
				expires string
			}{
				{[]string{"EX", "100"}, object.PutOptions{}, ok, ":-1\r\n"},
				{[]string{"NX"}, object.PutOptions{}, null, ":-1\r\n"},
				{[]string{"PX", "1"}, object.PutOptions{Expires: time.Unix(4e9, 0)}, ok, ":4000000000\r\n"},
				{[]string{"XX", "GET", "EXAT", "5000000000"}, object.PutOptions{KeepExpiry: true}, bulkOf("other"), ":5000000000\r\n"},
				{[]string{"KEEPTTL"}, object.PutOptions{}, ok, ":-1\r\n"},
			} {
				f.mu.Lock()
				f.gaps = map[string]func(){"Put": other(step.between)}
				f.mu.Unlock()
				go io.WriteString(c.Conn, cmd(append([]string{"SET", "k", value}, step.options...)...)+cmd("EXPIRETIME", "k")+cmd("GET", "k"))
				c.expect(step.want + step.expires + bulkOf("other"))
			}
		})
	}
}

// An overwrite between the end of a long value and its options changes what NX,
// XX and KEEPTTL see.
func TestOptionsBehindLargeValuesAreJudgedAtTheCommit(t *testing.T) {
	value := pattern(2 << 20)
	for _, tt := range []struct {
		option  string
		want    string
		stands  string
		expires string
	}{
		{"NX", null, "other", ":4000000000\r\n"},
		{"XX", ok, value, ":-1\r\n"},
		{"KEEPTTL", ok, value, ":4000000000\r\n"},
		{"GET", bulkOf("other"), value, ":-1\r\n"},
	} {
		t.Run(tt.option, func(t *testing.T) {
			f := newFake()
			f.putting = make(chan string, 1)
			addr, _ := serve(t, f, Config{})
			c := dial(t, addr)
			option := bulkOf(tt.option)
			c.send(strings.TrimSuffix(cmd("SET", "k", value, tt.option), option))
			<-f.putting // the key was free then
			f.Put(t.Context(), "k", 5, strings.NewReader("other"), object.PutOptions{Expires: time.Unix(4e9, 0)})
			c.send(option + cmd("EXPIRETIME", "k") + cmd("GET", "k"))
			c.expect(tt.want + tt.expires + bulkOf(tt.stands))
		})
	}
}

func TestMSETStreamsValueByValue(t *testing.T) {
	f := newFake()
	addr, d := serve(t, f, Config{})
	c := dial(t, addr)
	args := []string{"MSET"}
	for i := range 50 {
		args = append(args, fmt.Sprintf("key-%d", i), strings.Repeat(fmt.Sprint(i%10), 200<<10))
	}
	go io.WriteString(c.Conn, cmd(args...))
	c.expect(ok)
	if n := d.held.Load(); n != 0 {
		t.Errorf("%d bytes of argument memory held", n)
	}
	for i := 1; i < len(args); i += 2 {
		if got, _ := f.value(args[i]); got != args[i+1] {
			t.Errorf("%s has %s", args[i], short(got))
		}
	}
}

// A value that no pool can hold is refused at its header: before it is sent.
func TestOversizeIsRefusedAtItsHeader(t *testing.T) {
	const tooLarge = "-ERR value is larger than the pool can hold\r\n"
	for name, head := range map[string]string{
		"SET":    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n",
		"SET EX": "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n",
		"SETEX":  "*4\r\n$5\r\nSETEX\r\n$1\r\nk\r\n$1\r\n9\r\n",
		"MSET":   "*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nk\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			addr, _ := serve(t, f, Config{})
			c := dial(t, addr)
			c.send(head + "$1000000000\r\n")
			c.expect(tooLarge)
			c.expectEnd()
			if _, stored := f.value("k"); stored {
				t.Error("k was stored")
			}
		})
	}
	t.Run("little", func(t *testing.T) {
		f := newFake()
		f.max = 1000
		addr, _ := serve(t, f, Config{})
		c := dial(t, addr)
		c.send(cmd("SET", "k", pattern(100000)) + cmd("PING"))
		c.expect(tooLarge + "+PONG\r\n") // the connection goes on
	})
}

func TestLongArgumentsAreRefusedAtTheirHeader(t *testing.T) {
	const tooLong = "-ERR arguments of one command are longer than 1 MiB together\r\n"
	for name, tt := range map[string]struct{ send, want string }{
		"key of GET":  {"*2\r\n$3\r\nGET\r\n$70000000\r\n", "-" + string(errKey) + "\r\n"},
		"key of SET":  {"*3\r\n$3\r\nSET\r\n$70000000\r\n", "-" + string(errKey) + "\r\n"},
		"key of MSET": {"*3\r\n$4\r\nMSET\r\n$70000000\r\n", "-" + string(errKey) + "\r\n"},
		"ECHO":        {"*2\r\n$4\r\nECHO\r\n$70000000\r\n", tooLong},
		"name":        {"*1\r\n$70000000\r\n", tooLong},
		"unknown":     {"*2\r\n$3\r\nFOO\r\n$70000000\r\n", tooLong},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := serve(t, newFake(), Config{})
			c := dial(t, addr)
			c.send(tt.send)
			c.expect(tt.want)
			c.expectEnd()
		})
	}
	addr, _ := serve(t, newFake(), Config{})
	c := dial(t, addr)
	key := strings.Repeat("k", wire.MaxKey)
	go io.WriteString(c.Conn, cmd("SET", key, "v")+cmd("GET", key)+cmd("GET", key+"k")+
		cmd("DEL", key, key+"k")+cmd(append([]string{"EXISTS"}, make([]string, 40000)...)...)+cmd("PING"))
	c.expect(ok + bulkOf("v") + strings.Repeat("-"+string(errKey)+"\r\n", 2) + tooLong + "+PONG\r\n")
}

func TestArgumentMemoryIsBounded(t *testing.T) {
	addr, d := serve(t, newFake(), Config{ArgumentMemory: 100 << 10})
	a, b := dial(t, addr), dial(t, addr)
	long := strings.Repeat("x", 90<<10)
	a.send("*3\r\n$4\r\nECHO\r\n") // wrong arity: not held
	a.send(cmd(long)[4:] + "$1\r\ny\r\n")
	a.expect("-ERR wrong number of arguments for 'echo' command\r\n")
	a.send("*3\r\n$3\r\nFOO\r\n" + cmd(long)[4:])
	// b's PING is answered after a's argument has been taken in only by chance,
	// so ask until it is.
	for d.held.Load() == 0 {
		b.send(cmd("PING"))
		b.expect("+PONG\r\n")
	}
	b.send(cmd("ECHO", long))
	b.expect("-TRYAGAIN unfinished commands hold too much memory\r\n")
	a.send("$1\r\ny\r\n")
	a.expect("-ERR unknown command 'FOO'")
	for d.held.Load() != 0 {
		b.send(cmd("PING"))
		b.expect("+PONG\r\n")
	}
	b.send(cmd("ECHO", long))
	b.expect(bulkOf(long))
}

func TestLostObjects(t *testing.T) {
	lost := fmt.Errorf("stripe 0: %w", wire.ErrLost)
	for name, tt := range map[string]struct {
		err  error
		send string
		want string
	}{
		"GET":             {lost, cmd("GET", "k"), null},
		"GETRANGE":        {lost, cmd("GETRANGE", "k", "0", "1"), "$0\r\n\r\n"},
		"MGET":            {lost, cmd("MGET", "k", "none", "k"), "*3\r\n" + null + null + null},
		"GETDEL":          {lost, cmd("GETDEL", "k"), null},
		"SET GET":         {lost, cmd("SET", "k", "new", "GET"), null},
		"GET, other":      {wire.Errorf(wire.CodeUnavailable, "pool"), cmd("GET", "k"), "-LOADING the pool cannot serve now\r\n"},
		"MGET, other":     {wire.ErrBusy, cmd("MGET", "none", "k"), "*2\r\n" + null + "-TRYAGAIN too much work under way\r\n"},
		"GETRANGE, other": {errors.New("odd"), cmd("GETRANGE", "k", "0", "1"), "-ERR odd\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.readErr = tt.err
			addr, _ := serve(t, f, Config{})
			c := dial(t, addr)
			c.send(cmd("SET", "k", "value") + tt.send + cmd("PING"))
			c.expect(ok + tt.want + "+PONG\r\n")
		})
	}
}

// An object that cannot be finished ends the connection: what came is a true
// part of it, and nothing comes after.
func TestCutShortNeverLies(t *testing.T) {
	value := pattern(2 << 20)
	for _, sent := range []int64{1, 1000, readBuffer, 300 << 10, 2<<20 - 1, 2 << 20} {
		f := newFake()
		f.readErr, f.readOK = wire.ErrLost, sent
		addr, _ := serve(t, f, Config{})
		c := dial(t, addr)
		c.send(cmd("SET", "k", value))
		c.expect(ok)
		c.send(cmd("GET", "k") + cmd("PING"))
		rest, _ := io.ReadAll(c.r)
		if whole := bulkOf(value); !strings.HasPrefix(whole[:len(whole)-2], string(rest)) {
			t.Errorf("after %d bytes: got %s", sent, short(string(rest)))
		}
	}
}

func TestPutErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{wire.ErrFull, "-OOM command not allowed when used memory > 'maxmemory'.\r\n"},
		{wire.ErrTooLarge, "-ERR value is larger than the pool can hold\r\n"},
		{wire.ErrBusy, "-TRYAGAIN too much work under way\r\n"},
		{fmt.Errorf("commit: %w", wire.ErrUnavailable), "-LOADING the pool cannot serve now\r\n"},
		{wire.ErrBreaker, "-ERR spend breaker is open\r\n"},
		{wire.ErrKey, "-ERR key is empty or longer than 65536 bytes\r\n"},
		{errors.New("out of luck"), "-ERR out of luck\r\n"},
	} {
		f := newFake()
		f.putErr = tt.err
		addr, _ := serve(t, f, Config{})
		c := dial(t, addr)
		value := pattern(2 << 20)
		go io.WriteString(c.Conn, cmd("SET", "k", "v")+cmd("SET", "k", value)+cmd("SET", "k", value, "EX", "9")+cmd("MSET", "a", value, "b", value)+cmd("PING"))
		c.expect(strings.Repeat(tt.want, 4) + "+PONG\r\n")
	}
}

func TestErrorsOfLookups(t *testing.T) {
	f := newFake()
	f.openErr = wire.ErrUnavailable
	addr, _ := serve(t, f, Config{})
	c := dial(t, addr)
	for _, s := range []string{"GET k", "STRLEN k", "EXISTS k", "TYPE k", "TTL k", "PERSIST k", "GETRANGE k 0 1", "GETEX k", "EXPIRE k 1 NX"} {
		c.send(cmd(strings.Fields(s)...))
		c.expect("-LOADING the pool cannot serve now\r\n")
	}
}

func TestClientVanishesInBody(t *testing.T) {
	for name, head := range map[string]string{
		"SET":    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n",
		"SET EX": "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n",
		"MSET":   "*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			addr, d := serve(t, f, Config{})
			c := dial(t, addr)
			c.send(head + "$5000000\r\n" + pattern(100000))
			c.Close()
			waitFor(t, "the connection to end", func() bool { return len(d.all()) == 0 })
			if _, stored := f.value("k"); stored {
				t.Error("half a value was stored")
			}
		})
	}
}

func TestClientVanishesInReply(t *testing.T) {
	f := newFake()
	f.objects["k"] = fakeObject{info: object.Info{Size: 50 << 20}, data: make([]byte, 50<<20)}
	addr, d := serve(t, f, Config{})
	c := dial(t, addr)
	c.send(cmd("GET", "k"))
	c.expect("$52428800\r\n")
	c.Close()
	waitFor(t, "the connection to end", func() bool { return len(d.all()) == 0 })
}

func TestStalledClients(t *testing.T) {
	f := newFake()
	f.objects["big"] = fakeObject{info: object.Info{Size: 60 << 20}, data: make([]byte, 60<<20)}
	addr, d := serve(t, f, Config{Stall: 50 * time.Millisecond})
	idle := dial(t, addr)
	idle.send(cmd("PING"))
	idle.expect("+PONG\r\n")
	for name, input := range map[string]string{
		"in a header line": "*3\r\n$3\r\nSE",
		"in a count":       "*",
		"before a body":    "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000\r\n",
		"in a body":        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000\r\nabc",
		"in an option":     "*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n$2\r\nE",
		"taking a reply":   cmd("GET", "big"),
	} {
		t.Run(name, func(t *testing.T) {
			serving, accepted := len(d.all()), d.metrics.accepted.n.Load()
			dial(t, addr).send(input)
			waitFor(t, "the connection to end", func() bool {
				return d.metrics.accepted.n.Load() > accepted && len(d.all()) <= serving
			})
			if _, stored := f.value("k"); stored {
				t.Error("half a value was stored")
			}
		})
	}
	idle.send(cmd("PING"))
	idle.expect("+PONG\r\n") // between commands a client may wait
}

func TestIdleClients(t *testing.T) {
	addr, _ := serve(t, newFake(), Config{Idle: 500 * time.Millisecond})
	c := dial(t, addr)
	c.send(cmd("PING"))
	c.expect("+PONG\r\n")
	c.expectEnd()
}

// waitFor asks until it is so.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
