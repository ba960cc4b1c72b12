package redis

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/infinicache/infinicache/internal/resp"
)

// compatible is the version of Redis whose commands the door speaks. Clients
// read it to know what they may send.
const compatible = "7.0.0"

func connectionCommands() []command {
	const g = "connection"
	return []command{
		{name: "ping", arity: -1, flags: fast, run: ping, group: g, since: "1.0.0",
			summary: "Returns PONG, or its argument."},
		{name: "echo", arity: 2, flags: fast, run: echo, group: g, since: "1.0.0",
			summary: "Returns its argument."},
		{name: "hello", arity: -1, flags: fast | noAuth, run: hello, group: g, since: "6.0.0",
			summary: "Chooses the version of the protocol, and tells about the server."},
		{name: "auth", arity: -2, flags: fast | noAuth, run: auth, group: g, since: "1.0.0",
			summary: "Shows the password."},
		{name: "select", arity: 2, flags: fast, run: selectDB, group: g, since: "1.0.0",
			summary: "Chooses the database: 0, there is no other."},
		{name: "quit", arity: -1, flags: fast | noAuth, run: quit, group: g, since: "1.0.0",
			summary: "Closes the connection."},
		{name: "reset", arity: 1, flags: fast | noAuth, run: reset, group: g, since: "6.2.0",
			summary: "Makes the connection as it was at its start."},
	}
}

func ping(_ context.Context, c *conn, args [][]byte) error {
	switch len(args) {
	case 1:
		c.replySimple("PONG")
	case 2:
		c.replyBulk(string(args[1]))
	default:
		return wrongArity("ping")
	}
	return nil
}

func echo(_ context.Context, c *conn, args [][]byte) error {
	c.replyBulk(string(args[1]))
	return nil
}

func selectDB(_ context.Context, c *conn, args [][]byte) error {
	n, err := number(args[1])
	if err != nil {
		return err
	}
	if n != 0 {
		return errDBIndex
	}
	c.replyOK()
	return nil
}

func quit(_ context.Context, c *conn, _ [][]byte) error {
	c.replyOK()
	c.quit = true
	return nil
}

func reset(_ context.Context, c *conn, _ [][]byte) error {
	c.speak(resp.V2)
	c.authed = c.door.cfg.Password == ""
	c.muting.set(&c.sock, false)
	c.names.setName("")
	c.replySimple("RESET")
	return nil
}

func auth(_ context.Context, c *conn, args [][]byte) error {
	user, password := []byte("default"), args[len(args)-1]
	switch {
	case len(args) > 3:
		return errSyntax
	case len(args) == 3:
		user = args[1]
	case c.door.cfg.Password == "":
		return errNoPassword
	}
	if err := c.authenticate(user, password); err != nil {
		return err
	}
	c.replyOK()
	return nil
}

// authenticate checks user and password. Without a password in the
// configuration the user default may come with any, as in Redis.
func (c *conn) authenticate(user, password []byte) error {
	if string(user) != "default" {
		return errWrongPass
	}
	if want := c.door.cfg.Password; want != "" {
		// Hashed, so that the time tells nothing of the length either.
		a, b := sha256.Sum256([]byte(want)), sha256.Sum256(password)
		if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			return errWrongPass
		}
	}
	c.authed = true
	return nil
}

// hello is HELLO [version [AUTH user password] [SETNAME name]].
func hello(_ context.Context, c *conn, args [][]byte) error {
	version, name, named := c.version, "", false
	if len(args) > 1 {
		n, err := number(args[1])
		switch {
		case err != nil:
			return errBadProto
		case n != int64(resp.V2) && n != int64(resp.V3):
			return errNoProto
		}
		version = resp.Version(n)
	}
	for opts := args[min(2, len(args)):]; len(opts) > 0; {
		switch {
		case is(opts[0], "auth") && len(opts) >= 3:
			if err := c.authenticate(opts[1], opts[2]); err != nil {
				return err
			}
			opts = opts[3:]
		case is(opts[0], "setname") && len(opts) >= 2:
			if !isName(opts[1]) {
				return errClientName
			}
			name, named = string(opts[1]), true
			opts = opts[2:]
		default:
			return refusal("ERR Syntax error in HELLO option '" + string(opts[0][:min(len(opts[0]), 128)]) + "'")
		}
	}
	if !c.authed {
		return refusal("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	}
	c.speak(version)
	if named {
		c.names.setName(name)
	}
	c.replyMap(7)
	c.replyBulk("server")
	c.replyBulk("redis")
	c.replyBulk("version")
	c.replyBulk(compatible)
	c.replyBulk("proto")
	c.replyInt(int64(version))
	c.replyBulk("id")
	c.replyInt(c.id)
	c.replyBulk("mode")
	c.replyBulk("standalone")
	c.replyBulk("role")
	c.replyBulk("master")
	c.replyBulk("modules")
	c.replyArray(0)
	return nil
}
