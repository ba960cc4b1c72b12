package redis

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/infinicache/infinicache/internal/resp"
)

// conn is one client. Its goroutine reads a command, runs it, and reads the
// next; replies gather in the socket and leave when the input runs dry.
type conn struct {
	door *Door
	id   int64
	born time.Time
	sock socket
	dec  *resp.Decoder

	version resp.Version
	spoken  atomic.Int32 // version, for other connections to read
	authed  bool
	muting  muting
	names   names
	last    atomic.Pointer[command] // begun last

	in     intake
	bulk   bulk
	broken error // why the connection has to end now, unanswered
	quit   bool  // end after this reply
}

func newConn(d *Door, nc net.Conn) *conn {
	c := &conn{
		door:   d,
		id:     d.nextID.Add(1),
		born:   time.Now(),
		authed: d.cfg.Password == "",
	}
	c.sock = socket{
		Conn:     nc,
		idle:     d.cfg.Idle,
		stall:    d.cfg.Stall,
		pressed:  d.cfg.Pressed,
		received: &d.metrics.received,
		sent:     &d.metrics.sent,
	}
	c.sock.lastRead.Store(c.born.UnixNano())
	c.speak(resp.V2)
	c.sock.in = bufio.NewReaderSize(&c.sock, readBuffer)
	c.dec = resp.NewDecoder(c.sock.in)
	return c
}

// speak sets the version of the protocol for what is replied from now on.
func (c *conn) speak(v resp.Version) {
	c.version = v
	c.spoken.Store(int32(v))
}

// refuse tells a client that it cannot be served, and why. It does not block:
// the line fits into the buffer of a socket that was never written to.
func (c *conn) refuse(why refusal) {
	defer c.sock.close()
	c.sock.stall = min(c.sock.stall, time.Second)
	c.replyError(why)
	c.sock.Flush()
}

// serve runs commands until the client leaves, breaks the protocol or stalls, or
// the door closes.
func (c *conn) serve(ctx context.Context) {
	defer c.sock.close()
	for c.broken == nil && !c.quit && !c.sock.isDraining() {
		c.command(ctx)
	}
	switch {
	case c.quit || errors.Is(c.broken, errUnread):
		c.sock.linger()
	case c.broken == nil:
		c.sock.Flush()
	}
	if c.broken != nil && !errors.Is(c.broken, io.EOF) {
		c.door.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "connection ended",
			slog.Int64("conn", c.id), slog.Any("err", c.broken))
	}
}

// errUnread ends a connection whose input goes on with something that the door
// will not read.
var errUnread = errors.New("input refused")

// breakOff ends the connection: what was sent is not a whole reply.
func (c *conn) breakOff(err error) {
	if c.broken == nil {
		c.broken = err
	}
}

// command reads one command and runs it.
func (c *conn) command(ctx context.Context) {
	c.sock.between = true
	n, err := c.dec.Next()
	c.sock.between = false
	if n == 0 && err == nil {
		return
	}
	if err == nil {
		c.muting.begin(&c.sock)
		err = c.run(ctx, n)
		c.in.release(c.door)
		c.finish(err)
	}
	c.checkInput()
}

// run reads the arguments of the command and calls its handler. An error is the
// reply, unless the connection is broken.
func (c *conn) run(ctx context.Context, n int) error {
	if err := c.readArg(argumentLimit); err != nil {
		return err
	}
	if speaksHTTP(c.in.args[0]) {
		c.breakOff(errHTTP)
		return nil
	}
	cmd := c.door.table.find(c.in.args[0])
	if cmd == nil {
		c.door.metrics.commands.add(1)
		if err := c.readArgs(0, nil); err != nil {
			return err
		}
		return unknownCommand(c.in.args[0], c.in.args[1:])
	}
	c.last.Store(cmd)
	c.door.metrics.commands.add(1)
	c.door.metrics.byCommand[cmd].Inc()
	switch {
	case !cmd.takes(n):
		return wrongArity(cmd.name)
	case !c.authed && cmd.flags&noAuth == 0:
		return errNoAuth
	}
	if err := c.readArgs(cmd.value, cmd); err != nil {
		return err
	}
	return cmd.run(ctx, c, c.in.args)
}

// finish replies err, if it is one, and reads what the command left unread of
// its arguments, so that the next command can be read. It does not do so for
// ever: see drainLimit.
func (c *conn) finish(err error) {
	if c.sock.werr != nil {
		c.breakOff(c.sock.werr)
	}
	if c.broken != nil || c.dec.Err() != nil {
		return
	}
	limit := c.door.cfg.Cache.MaxObject()
	if err != nil {
		limit = drainLimit
		c.replyError(refusalFor(err))
	}
	limit = max(limit, drainLimit)
	for {
		if limit -= c.dec.Left(); limit < 0 {
			c.breakOff(errUnread)
			return
		}
		if c.dec.Discard() != nil || c.dec.Args() == 0 {
			return
		}
		if _, err := c.dec.Arg(); err != nil {
			return
		}
	}
}

// checkInput breaks the connection if the input ended or made no sense, and
// says what was wrong with it.
func (c *conn) checkInput() {
	err := c.dec.Err()
	if err == nil || c.broken != nil {
		return
	}
	c.breakOff(err)
	if perr, ok := errors.AsType[*resp.ProtocolError](err); ok {
		c.replyError(refusal("ERR " + perr.Error()))
		c.broken = errUnread
		return
	}
	c.sock.Flush()
}

func (c *conn) replyError(r refusal) {
	c.door.metrics.errors.WithLabelValues(r.code()).Inc()
	c.sock.reply(func(dst []byte) []byte { return resp.AppendError(dst, string(r)) })
}
