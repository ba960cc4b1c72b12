package redis

import (
	"github.com/infinicache/infinicache/internal/resp"
	"github.com/infinicache/infinicache/internal/wire"
)

const (
	// argumentLimit is how many bytes the arguments of one command may have, not
	// counting values that are streamed.
	argumentLimit = 1 << 20
	// argumentCost is what an argument counts beside its bytes.
	argumentCost = 32
	// intakeFree is what a connection may hold of arguments without asking, and
	// what it keeps for the next command.
	intakeFree = 16 << 10
	// drainLimit is how many bytes of a refused command are read, so that the
	// client reads the error in peace. One that sends more is cut off, because
	// the traffic would be for nothing. A value that was not stored because its
	// condition did not hold is no mistake, and is read to the end.
	drainLimit = 64 << 20
)

// intake holds the arguments of the command being read. They are valid until
// its handler returns.
type intake struct {
	args  [][]byte
	bytes []byte // of args; earlier ones may lie in arrays it outgrew
	extra int64  // what a held value may have beyond argumentLimit
	cost  int64
	held  int64 // taken from the door's Config.ArgumentMemory
}

// release ends the command: its arguments are forgotten.
func (in *intake) release(d *Door) {
	if in.held > 0 {
		d.held.Add(-in.held)
	}
	if in.cost > intakeFree {
		*in = intake{}
	}
	clear(in.args)
	*in = intake{args: in.args[:0], bytes: in.bytes[:0]}
}

// forget drops all arguments but the command's name.
func (in *intake) forget(d *Door) {
	d.held.Add(-in.held)
	name := in.args[0]
	in.args, in.bytes = in.args[:1], in.bytes[:len(name)]
	in.cost, in.held = int64(len(name))+argumentCost, 0
}

// reserve accounts for n more bytes, and refuses what is too much for one
// command or for the door.
func (in *intake) reserve(d *Door, n int64) error {
	if n > argumentLimit+in.extra-in.cost {
		return errArguments
	}
	in.cost += n
	if more := in.cost - intakeFree - in.held; more > 0 {
		if d.held.Add(more) > d.cfg.ArgumentMemory {
			d.held.Add(-more)
			in.cost -= n
			return errArgumentRoom
		}
		in.held += more
	}
	return nil
}

// readArgs reads arguments until index end, or all of them if end is 0.
// Keys, as cmd has them, are held to their limit.
func (c *conn) readArgs(end int, cmd *command) error {
	argc := len(c.in.args) + c.dec.Args()
	for c.dec.Args() > 0 && (end == 0 || len(c.in.args) < end) {
		limit := int64(argumentLimit)
		if cmd != nil && cmd.keys.has(len(c.in.args), argc) {
			limit = wire.MaxKey
		}
		if err := c.readArg(limit); err != nil {
			return err
		}
	}
	return nil
}

// readArg reads the next argument. One of more than limit bytes is refused at
// its header.
func (c *conn) readArg(limit int64) error {
	size, err := c.dec.Arg()
	switch {
	case err != nil:
		return err
	case size > limit && limit < argumentLimit:
		return errKey
	}
	return c.readBody()
}

// readBody reads the current argument.
func (c *conn) readBody() error {
	if err := c.in.reserve(c.door, c.dec.Left()+argumentCost); err != nil {
		return err
	}
	start := len(c.in.bytes)
	b, err := c.dec.Append(c.in.bytes, c.dec.Left())
	if err != nil {
		return err
	}
	c.in.bytes = b
	c.in.args = append(c.in.args, b[start:len(b):len(b)])
	return nil
}

// nextValue reads the header of the value that comes next, and refuses it there
// if no pool could hold it. Its body is read from c.dec.
func (c *conn) nextValue() (size int64, err error) {
	if size, err = c.dec.Arg(); err != nil {
		return 0, err
	}
	if size > c.door.cfg.Cache.MaxObject() {
		return 0, errTooLarge
	}
	return size, nil
}

// number parses a decimal argument as Redis does.
func number(b []byte) (int64, error) {
	n, ok := resp.ParseInt(b)
	if !ok {
		return 0, errNotInteger
	}
	return n, nil
}
