package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

func clientCommand() command {
	return container("client", 0, "connection", "2.4.0", "Speaks of connections.",
		command{name: "id", arity: 2, run: clientID, since: "5.0.0", summary: "Returns the number of the connection."},
		command{name: "getname", arity: 2, run: clientGetName, since: "2.6.9", summary: "Returns the name of the connection."},
		command{name: "setname", arity: 3, run: clientSetName, since: "2.6.9", summary: "Names the connection."},
		command{name: "setinfo", arity: 4, run: clientSetInfo, since: "7.2.0", summary: "Tells the client library's LIB-NAME or LIB-VER."},
		command{name: "info", arity: 2, run: clientInfo, since: "6.2.0", summary: "Describes the connection."},
		command{name: "list", arity: -2, run: clientList, since: "2.4.0", summary: "Describes all connections, or those with ID id [id ...]."},
		command{name: "reply", arity: 3, run: clientReply, since: "3.2.0", summary: "Replies to commands: ON, OFF, or SKIP the next one."},
		command{name: "no-evict", arity: 3, run: clientOnOff, since: "7.0.0", summary: "Accepted; the door evicts no clients."},
		command{name: "no-touch", arity: 3, run: clientOnOff, since: "7.2.0", summary: "Accepted; reads count for eviction all the same."},
	)
}

// names is what a client says of itself. Other connections read it for CLIENT
// LIST.
type names struct {
	mu                    sync.Mutex
	name, library, libVer string
}

func (n *names) setName(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name = name
}

func (n *names) get() (name, library, libVer string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.name, n.library, n.libVer
}

// nameMost is the longest name in bytes that a connection or library may have.
const nameMost = 1024

// isName tells whether b can stand in CLIENT LIST, where blanks separate.
func isName(b []byte) bool {
	for _, c := range b {
		if c < '!' || c > '~' {
			return false
		}
	}
	return len(b) <= nameMost
}

// muting is what CLIENT REPLY asked for.
type muting struct {
	off  bool // until ON
	next bool // for the next command
}

// begin readies the socket for a command.
func (m *muting) begin(s *socket) {
	s.mute = m.off || m.next
	m.next = false
}

func (m *muting) set(s *socket, off bool) {
	*m = muting{off: off}
	s.mute = off
}

func clientReply(_ context.Context, c *conn, args [][]byte) error {
	switch {
	case is(args[2], "on"):
		c.muting.set(&c.sock, false)
		c.replyOK()
	case is(args[2], "off"):
		c.muting.set(&c.sock, true)
	case is(args[2], "skip"):
		c.muting.next = true
	default:
		return errSyntax
	}
	return nil
}

func clientID(_ context.Context, c *conn, _ [][]byte) error {
	c.replyInt(c.id)
	return nil
}

func clientGetName(_ context.Context, c *conn, _ [][]byte) error {
	name, _, _ := c.names.get()
	if name == "" {
		c.replyNull()
	} else {
		c.replyBulk(name)
	}
	return nil
}

func clientSetName(_ context.Context, c *conn, args [][]byte) error {
	if !isName(args[2]) {
		return errClientName
	}
	c.names.setName(string(args[2]))
	c.replyOK()
	return nil
}

func clientSetInfo(_ context.Context, c *conn, args [][]byte) error {
	what, value := args[2], args[3]
	isLib, isVer := is(what, "lib-name"), is(what, "lib-ver")
	switch {
	case !isLib && !isVer:
		return refusal("ERR Unrecognized option '" + string(what[:min(len(what), 128)]) + "'")
	case !isName(value):
		return refusal("ERR " + strings.ToLower(string(what)) + " cannot contain spaces, newlines or special characters.")
	}
	c.names.mu.Lock()
	defer c.names.mu.Unlock()
	if isLib {
		c.names.library = string(value)
	} else {
		c.names.libVer = string(value)
	}
	c.replyOK()
	return nil
}

func clientOnOff(_ context.Context, c *conn, args [][]byte) error {
	if !is(args[2], "on") && !is(args[2], "off") {
		return errSyntax
	}
	c.replyOK()
	return nil
}

func clientInfo(_ context.Context, c *conn, _ [][]byte) error {
	c.replyText(c.describe(time.Now()))
	return nil
}

// clientList is CLIENT LIST [TYPE normal] [ID id [id ...]].
func clientList(_ context.Context, c *conn, args [][]byte) error {
	var ids map[int64]bool
	none := false // of the type asked for
	switch opts := args[2:]; {
	case len(opts) == 0:
	case is(opts[0], "type") && len(opts) == 2:
		switch none = !is(opts[1], "normal"); {
		case !none, is(opts[1], "master"), is(opts[1], "replica"), is(opts[1], "slave"), is(opts[1], "pubsub"):
		default:
			return refusal("ERR Unknown client type '" + string(opts[1][:min(len(opts[1]), 128)]) + "'")
		}
	case is(opts[0], "id") && len(opts) > 1:
		ids = make(map[int64]bool)
		for _, a := range opts[1:] {
			id, err := number(a)
			if err != nil {
				return errClientID
			}
			ids[id] = true
		}
	default:
		return errSyntax
	}
	conns := c.door.all()
	slices.SortFunc(conns, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	var b strings.Builder
	now := time.Now()
	for _, other := range conns {
		if !none && (ids == nil || ids[other.id]) {
			b.WriteString(other.describe(now))
		}
	}
	c.replyText(b.String())
	return nil
}

// describe is the connection's line in CLIENT LIST. Any goroutine may ask.
func (c *conn) describe(now time.Time) string {
	name, library, libVer := c.names.get()
	last := "NULL"
	if cmd := c.last.Load(); cmd != nil {
		last = cmd.name
	}
	idle := now.Sub(time.Unix(0, c.sock.lastRead.Load()))
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d idle=%d flags=N db=0 sub=0 psub=0 multi=-1 cmd=%s user=default lib-name=%s lib-ver=%s resp=%d\n",
		c.id, c.sock.RemoteAddr(), c.sock.LocalAddr(), name, int64(now.Sub(c.born).Seconds()),
		int64(max(idle, 0).Seconds()), last, library, libVer, c.spoken.Load())
}
